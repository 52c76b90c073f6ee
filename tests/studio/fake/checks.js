/** Checks of the page's modules that need no model: each throws if a law does not hold. */
import {heatmapPicture, movedRows, widenedRows} from "../page/heatmap_rows.js";
import {copyOf, History, runsBetween} from "../page/history.js";
import {headerOf, transportOver, unpacked} from "../page/messages.js";
import {openFile, uniqueNames} from "../page/open_file.js";
import {connectedMask, diskRows, joinedMask, maskEdges, paintDisk, paintLine, paintRectangle, polygonMask} from "../page/ids.js";
import {
  blendImage,
  blendMask,
  lockedMask,
  lockMask,
  plainValues,
  resampleClass,
  resampleImage,
  resampleMask,
  sourceAt,
  unlockMask,
} from "../page/noise.js";
import {idPng, rgbPng, storedDeflate} from "../page/png.js";
import {RenderLoop} from "../page/render_loop.js";

const NAMES = ["sky", "road", "car"];
const SHAPE = {width: 6, height: 4};

function equal(found, wanted, what = "") {
  const [a, b] = [found, wanted].map((each) => JSON.stringify(ArrayBuffer.isView(each) ? [...each] : each));
  if (a !== b) throw new Error(`${what} ${a} instead of ${b}`);
}

function drawn(map, {width} = SHAPE) {
  return [...map].map((id, i) => (i && i % width === 0 ? "/" : "") + id).join("");
}

function stateOf(labels, values = plainValues(1)) {
  return {...SHAPE, labels: Uint8Array.from(labels), regionMap: new Uint8Array(labels.length), values};
}

const THREE = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1];

export const checks = {
  "a brush of any size is round, symmetrical and as wide as it says"() {
    for (let size = 1; size <= 64; size++) {
      const rows = diskRows(size);
      equal(rows.length, size);
      rows.forEach(([first, last], i) => equal([first, last], [size - 1 - last, rows[size - 1 - i][1]]));
      equal([Math.min(...rows.map(([first]) => first)), Math.max(...rows.map(([, last]) => last))], [0, size - 1], size);
      const area = rows.reduce((sum, [first, last]) => sum + last - first + 1, 0);
      if (Math.abs(area - (Math.PI * size * size) / 4) > 0.5 + 2 * size ** 0.75) throw new Error(`size ${size} has ${area} pixels`);
    }
  },

  "a pixel is where the pointer is"() {
    const map = new Uint8Array(24);
    paintDisk(map, SHAPE, {x: 2.9, y: 1.1}, 1, 7);
    equal(drawn(map), "000000/007000/000000/000000");
  },

  "a fast stroke has no gaps and only its own id"() {
    const map = new Uint8Array(24).fill(3);
    paintLine(map, SHAPE, {x: 0.5, y: 0.5}, {x: 5.5, y: 3.5}, 1, 9);
    equal([...new Set(map)].sort(), [3, 9]);
    equal(connectedCount(map, 9), 1);
  },

  "painting over the border of the image stays in it"() {
    const map = new Uint8Array(24);
    paintDisk(map, SHAPE, {x: -3, y: -3}, 4, 7);
    equal(drawn(map), "000000/000000/000000/000000");
    paintLine(map, SHAPE, {x: -20, y: 0.5}, {x: 20, y: 0.5}, 1, 7);
    equal(drawn(map), "777777/000000/000000/000000");
    paintRectangle(map, SHAPE, {x: 9, y: 2.2}, {x: 4.7, y: 9}, 5);
    equal(drawn(map), "777777/000000/000055/000055");
  },

  "a connected region ends at corners"() {
    const map = Uint8Array.from([1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0]);
    equal(drawn(connectedMask(map, SHAPE, {x: 0.5, y: 0.5})), "110000/101100/110100/011100");
    const corner = Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, ...Array.from({length: 12}, () => 0)]);
    equal(drawn(connectedMask(corner, SHAPE, {x: 0.5, y: 0.5})), "100000/000000/000000/000000");
    equal(connectedMask(map, SHAPE, {x: 6.5, y: 0}).includes(1), false);
  },

  "a connected region is that of a plain search, on random maps"() {
    for (let n = 0; n < 50; n++) {
      const map = Uint8Array.from({length: 24}, () => Math.random() * 2);
      const start = Math.floor(Math.random() * 24);
      const found = new Set([start]);
      for (const i of found) {
        for (const [dx, dy] of [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
        ]) {
          const [x, y] = [(i % 6) + dx, Math.floor(i / 6) + dy];
          if (x >= 0 && x < 6 && y >= 0 && y < 4 && map[y * 6 + x] === map[start]) found.add(y * 6 + x);
        }
      }
      equal(
        connectedMask(map, SHAPE, {x: start % 6, y: Math.floor(start / 6)}),
        Array.from({length: 24}, (_, i) => Number(found.has(i))),
      );
    }
  },

  "a lasso holds the pixels whose centres it surrounds"() {
    const square = [
      {x: 1, y: 1},
      {x: 4, y: 1},
      {x: 4, y: 3},
      {x: 1, y: 3},
    ];
    equal(drawn(polygonMask(square, SHAPE)), "000000/011100/011100/000000");
    equal(drawn(polygonMask([...square].reverse(), SHAPE)), "000000/011100/011100/000000");
    equal(polygonMask([{x: 2, y: 2}], SHAPE).includes(1), false);
    equal(
      drawn(
        polygonMask(
          [
            {x: -9, y: -9},
            {x: 99, y: -9},
            {x: 99, y: 99},
            {x: -9, y: 99},
          ],
          SHAPE,
        ),
      ),
      "111111/111111/111111/111111",
    );
  },

  "selections are added to and taken from"() {
    const [a, b] = [Uint8Array.of(1, 1, 0), Uint8Array.of(0, 1, 1)];
    equal(joinedMask(a, b, "replace"), [0, 1, 1]);
    equal(joinedMask(a, b, "add"), [1, 1, 1]);
    equal(joinedMask(a, b, "subtract"), [1, 0, 0]);
    equal(joinedMask(null, b, "subtract"), [0, 0, 0]);
  },

  "the edges of a mask surround it"() {
    equal(maskEdges(Uint8Array.of(0, 0, 0, 0, 1, 1, 0, 0, 0), {width: 3, height: 3}), [1, 1, 3, 1, 1, 2, 3, 2, 1, 1, 1, 2, 3, 1, 3, 2]);
  },

  "the edges of a mask are as long as its border, wherever it lies"() {
    const shape = {width: 9, height: 7};
    for (let n = 0; n < 60; n++) {
      const mask = Uint8Array.from({length: 63}, () => Number(Math.random() < n / 50));
      const at = (x, y) => (x >= 0 && y >= 0 && x < 9 && y < 7 ? mask[9 * y + x] : 0);
      let border = 0;
      for (let y = 0; y <= 7; y++) for (let x = 0; x <= 9; x++) border += Number(at(x, y) !== at(x - 1, y)) + Number(at(x, y) !== at(x, y - 1));
      const edges = maskEdges(mask, shape);
      let length = 0;
      for (let i = 0; i < edges.length; i += 4) length += edges[i + 2] - edges[i] + edges[i + 3] - edges[i + 1];
      equal(length, border);
    }
    equal(maskEdges(new Uint8Array(63), shape), []);
  },

  "undo and redo give every state of a long history, as often as wanted"() {
    const state = stateOf(THREE);
    const history = new History(state);
    const copies = [copyOf(state)];
    for (let n = 0; n < 200; n++) {
      paintDisk(state.labels, SHAPE, {x: 6 * Math.random(), y: 4 * Math.random()}, 2, n % 3);
      if (n % 7 === 0) state.regionMap.fill(n % 5, 0, 5);
      const next = {...state, values: {...state.values, t: (n + 1) / 201}};
      Object.assign(state, next);
      history.push(`step ${n}`, state);
      copies.push(copyOf(state));
    }
    equal(history.steps.length, 200);
    for (const position of [0, 200, 57, 199, 3, 121]) {
      equal(history.at(position), copies[position], "at");
      history.move(position);
      equal(history.state, copies[position], "moved");
    }
    history.push("another", {...history.state, values: {...history.state.values, t: 0.77}});
    equal([history.steps.length, history.canRedo], [122, false]);
  },

  "a step keeps what differs"() {
    const before = new Uint8Array(1e6);
    const after = before.slice().fill(1, 1000, 500000);
    equal(runsBetween(before, after), [1000, 499000, 0, 1]);
    const history = new History(stateOf(THREE));
    equal([history.push("nothing", stateOf(THREE)), history.steps.length], [false, 0]);
  },

  "an opened map of another size is a step like any other"() {
    const history = new History(stateOf(THREE));
    const other = {width: 2, height: 1, labels: Uint8Array.of(1, 2), regionMap: new Uint8Array(2), values: plainValues(5)};
    history.push("open", other, true);
    equal([history.state.width, history.opening], [2, 1]);
    history.move(0);
    equal([history.state.width, history.opening], [6, 0]);
    history.move(1);
    equal(history.state.labels, [1, 2]);
  },

  "resampling the image changes all that is not locked"() {
    const state = stateOf(THREE, {...plainValues(1), class_seeds: {car: 5}});
    const mask = Uint8Array.from(THREE, (id) => Number(id === 2));
    const locked = {...state, ...lockMask(state, NAMES, mask)};
    equal(sourceAt(locked, 14, NAMES), {seed: 5, end: null, t: 0, locked: true});
    const other = {...locked, ...resampleImage(locked, 99)};
    equal([sourceAt(other, 0, NAMES).seed, sourceAt(other, 14, NAMES).seed], [99, 5]);
    const open = {...other, ...unlockMask(other, NAMES, mask)};
    equal(lockedMask(open), null);
    const all = {...open, ...resampleImage(open, 100)};
    equal([sourceAt(all, 14, NAMES).seed, all.values.regions.length, all.regionMap.includes(1)], [100, 0, false]);
  },

  "resampling a class changes that class, whatever region it is in, unless it is locked"() {
    let state = stateOf(THREE);
    state = {
      ...state,
      ...resampleMask(
        state,
        NAMES,
        Uint8Array.from(THREE, (_, i) => Number(i >= 14)),
        7,
      ),
    };
    equal([sourceAt(state, 12, NAMES).seed, sourceAt(state, 14, NAMES).seed, sourceAt(state, 16, NAMES).seed], [1, 7, 7]);
    state = {...state, ...resampleClass(state, NAMES, 2, 8)};
    equal([sourceAt(state, 14, NAMES).seed, sourceAt(state, 16, NAMES).seed], [8, 7]);
    equal(state.values.class_seeds, {car: 8});
  },

  "the noise of the image blends; what is locked on the way stays there"() {
    let state = stateOf(THREE);
    state = {...state, ...blendImage(state, 50, 0.25)};
    equal(sourceAt(state, 0, NAMES), {seed: 1, end: 50, t: 0.25, locked: false});
    const first = Uint8Array.from(THREE, (_, i) => Number(i === 0));
    state = {...state, ...lockMask(state, NAMES, first)};
    state = {...state, ...blendImage(state, 50, 1)};
    equal([sourceAt(state, 0, NAMES).t, sourceAt(state, 1, NAMES).seed], [0.25, 50]);
    equal(blendImage(state, 50, 0).values.end, null);
  },

  "a selection over several noises blends each of them to one"() {
    let state = stateOf(THREE, {...plainValues(1), class_seeds: {car: 5}});
    state = {
      ...state,
      ...blendMask(
        state,
        NAMES,
        Uint8Array.from(THREE, (_, i) => Number(i >= 12)),
        60,
        0.5,
      ),
    };
    equal(state.values.regions, [
      {seed: 1, end: 60, t: 0.5, locked: false},
      {seed: 5, end: 60, t: 0.5, locked: false},
    ]);
    equal([sourceAt(state, 0, NAMES).end, sourceAt(state, 12, NAMES).seed, sourceAt(state, 14, NAMES).seed], [null, 1, 5]);
  },

  "a locked part of a selection keeps its noise, whatever is done to the selection"() {
    let state = stateOf(THREE);
    const [all, one] = [1, 0].map((rest) => Uint8Array.from(THREE, (_, i) => (i === 14 ? 1 : rest)));
    state = {...state, ...lockMask(state, NAMES, one)};
    for (const part of [blendMask(state, NAMES, all, 60, 0.5), resampleMask(state, NAMES, all, 60), resampleClass(state, NAMES, 2, 60)]) {
      equal(sourceAt({...state, ...part}, 14, NAMES), {seed: 1, end: null, t: 0, locked: true});
      equal(sourceAt({...state, ...part}, 15, NAMES).seed === 60 || sourceAt({...state, ...part}, 15, NAMES).end === 60, true);
    }
  },

  "regions that nobody sees are forgotten, and too many are refused"() {
    let state = {width: 70, height: 1, labels: new Uint8Array(70), regionMap: new Uint8Array(70), values: plainValues(1)};
    const one = (i) => Uint8Array.from({length: 70}, (_, j) => Number(i === j));
    for (let n = 0; n < 100; n++) state = {...state, ...resampleMask(state, NAMES, one(0), n)};
    equal(state.values.regions.length, 1);
    let message = "";
    try {
      for (let n = 1; n < 70; n++) state = {...state, ...resampleMask(state, NAMES, one(n), n)};
    } catch (error) {
      ({message} = error);
    }
    equal([state.values.regions.length, message.startsWith("64 regions")], [63, true], message);
  },

  "heatmaps are as bright as the formula says"() {
    const rows = Array.from({length: 7}, () => [9, 9, 0.1]);
    rows[0] = [0, 0, 0.5];
    const rgba = heatmapPicture(rows, [[0], [1, 2], [3, 4, 5, 6]], {width: 5, height: 3}, false);
    const at = (x, y) => rgba[4 * (5 * y + x)];
    equal([at(2, 1), at(0, 1), at(1, 0)], [255, Math.round(255 * (Math.exp(-2) + 0.01)), Math.round(255 * (Math.exp(-2.5) + 0.01))]);
    equal(rgba[1], Math.round(2.55));
    equal(
      movedRows(
        [
          [0, 0, 1],
          [1.9, 0, 1],
        ],
        [1],
        0.5,
        -0.25,
      ),
      [
        [0, 0, 1],
        [2, -0.25, 1],
      ],
    );
    equal(
      widenedRows(
        [
          [0, 0, 1],
          [0, 0, 1],
        ],
        [0],
        1e9,
      ),
      [
        [0, 0, 4],
        [0, 0, 1],
      ],
    );
  },

  "a request names what the model takes and nothing else"() {
    const image = {...SHAPE, ...plainValues(3), end: {seed: 4, class_seeds: {car: 5}}, t: 0.5};
    const fields = (info) => Object.keys(headerOf(image, info)).join(" ");
    equal(fields({labels: true, spatial: true, styles: 0}), "height width seed class_seeds end t regions heatmaps");
    equal(fields({labels: true, spatial: false, styles: 0}), "height width seed class_seeds end t regions");
    equal(fields({labels: false, spatial: false, styles: 9}), "height width seed end t truncation style_seeds");
    equal(headerOf(image, {labels: false}).end, {seed: 4});
  },

  async "PNG files are read by the browser as they were written"() {
    const rgb = Uint8Array.from({length: 3 * 24}, (_, i) => (i * 37) % 256);
    equal(await pixelsOf(await rgbPng(rgb, SHAPE)), rgb);
    const colours = [
      [10, 20, 30],
      [200, 0, 9],
      [1, 255, 2],
    ];
    equal(
      await pixelsOf(await idPng(Uint8Array.from(THREE), SHAPE, colours)),
      THREE.flatMap((id) => colours[id]),
    );
    const grey = await idPng(
      Uint16Array.from(THREE, (id) => id * 300),
      SHAPE,
      colours,
    );
    equal([...new Uint8Array(await grey.arrayBuffer()).subarray(24, 26)], [16, 0]);
    const bytes = Uint8Array.from({length: 200000}, (_, i) => i % 251);
    const opened = new Blob([storedDeflate(bytes)]).stream().pipeThrough(new DecompressionStream("deflate"));
    equal(new Uint8Array(await new Response(opened).arrayBuffer()), bytes);
  },

  async "one request at a time, and the latest wins"() {
    const seen = [];
    let [running, most] = [0, 0];
    const render = async (image) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 4));
      running--;
      return image;
    };
    const loop = new RenderLoop(render, {shown: (photo) => seen.push(photo), failed: () => {}, busy: () => {}});
    for (let n = 0; n < 50; n++) loop.request(() => ({image: n}));
    equal(await loop.later("thumbnail"), "thumbnail");
    equal([seen, most], [[0, 49], 1]);
  },

  async "previews start from the image being edited, not from one that was computed in the background"() {
    const sent = [];
    const info = {labels: false, classes: []};
    const transport = transportOver(async (what, {body} = {}) => {
      if (what === "info") return {header: info};
      const {header} = unpacked(await body.arrayBuffer());
      sent.push([header.seed, header.tab]);
      return {header, rest: new ArrayBuffer(0)};
    }, "mine");
    await transport.info();
    const loop = new RenderLoop((image, how) => transport.render(image, how), {shown: () => {}, failed: () => {}, busy: () => {}});
    const image = {height: 1, width: 1, end: null, t: 0, regions: []};
    loop.request(() => ({image: {...image, seed: 1}, preview: null}));
    await loop.later({...image, seed: 2});
    loop.request(() => ({image: {...image, seed: 3}, preview: {top: 0, left: 0, height: 1, width: 1}}), true);
    await loop.later({...image, seed: 4});
    equal(sent, [[1, "mine"], [2, undefined], [3, "mine"], [4, undefined]]);
  },

  async "label maps that another model has read are refused"() {
    const info = {labels: true, classes: [{name: "sky"}], model_id: "a"};
    let answering = "a";
    const transport = transportOver(async (what) => {
      if (what === "info") return {header: info};
      return {header: {height: 1, width: 2, model_id: answering}, rest: Uint8Array.from([0, 0, 1, 2, 3]).buffer};
    });
    await transport.info();
    equal((await transport.open(new Blob([]), "a.png")).labels, [0, 0]);
    equal((await transport.example("street")).photo, [1, 2, 3]);
    answering = "b";
    for (const asked of [() => transport.open(new Blob([]), "a.png"), () => transport.example("street")]) {
      const said = await asked().catch((error) => error.message);
      if (!String(said).endsWith("reload the page")) throw new Error(`not refused: ${JSON.stringify(said)}`);
    }
  },

  "classes of one name are told apart as in recipes.py"() {
    const cases = [
      [[], []],
      [["void", "road", "void", "void"], ["void", "road", "void (2)", "void (3)"]],
      [["void", "void", "void (2)"], ["void", "void (3)", "void (2)"]],
      [["void (2)", "void", "void", "void (2)"], ["void (2)", "void", "void (3)", "void (2) (2)"]],
    ];
    for (const [names, unique] of cases) equal(uniqueNames(names), unique);
  },

  async "a recipe of another format is not opened as if it were of this one"() {
    const info = {classes: [{name: "sky"}], height: 1, width: 1};
    const said = (file) => openFile(new Blob([JSON.stringify(file)]), "r.json", info, {}).catch(({message}) => message);
    const recipe = {recipe: {seed: 5}, label_map: "", classes: ["sky"], image_size: [1, 1]};
    if (!(await said({...recipe, format: 2})).startsWith("r.json: its format is 2, but this page reads format 1")) throw new Error("format 2 is opened");
    if (!(await said(recipe)).includes("format, recipe or label_map is missing")) throw new Error("a recipe without a format is opened");
  },

  async "what was not urgent gives way to a pen; an error answers its request alone"() {
    const [aborted, shown, failed] = [[], [], []];
    const render = (image, {signal}) =>
      new Promise((resolve, reject) => {
        signal.addEventListener("abort", () => (aborted.push(image), reject(signal.reason)));
        setTimeout(() => (image === "bad" ? reject(new Error("no")) : resolve(image)), image === "slow" ? 500 : 2);
      });
    const loop = new RenderLoop(render, {
      shown: (photo) => shown.push(photo),
      failed: (error) => failed.push(error.message),
      busy: () => {},
    });
    loop.request(() => ({image: "slow"}));
    loop.request(() => ({image: "pen", preview: {}}), true);
    await loop.later("rest");
    loop.request(() => ({image: "bad"}));
    await loop.later("rest");
    loop.request(() => ({image: "good"}));
    await loop.later("rest");
    equal([aborted, shown, failed], [["slow"], ["pen", "good"], ["no"]]);
    const controller = new AbortController();
    const job = loop.later("slow", controller.signal).catch((error) => error.name);
    controller.abort();
    equal(await job, "AbortError");
  },
};

function connectedCount(map, id) {
  const grown = new Set([map.indexOf(id)]);
  for (const i of grown) {
    for (const j of [i - 1, i + 1, i - 6, i + 6, i - 7, i - 5, i + 5, i + 7]) if (map[j] === id) grown.add(j);
  }
  return map.filter((each) => each === id).length / grown.size;
}

async function pixelsOf(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const {data} = canvas.getContext("2d").getImageData(0, 0, bitmap.width, bitmap.height);
  return data.filter((_, i) => i % 4 < 3);
}
