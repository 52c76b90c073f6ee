/** A model in a few lines: colours of classes, shaded by the seed of each pixel; the centres of heatmaps brighten what is near. */

const NAMES = ["unlabelled", "sky", "building", "road", "pavement", "tree", "grass", "car", "pole", "sign", "pedestrian", "<b>fence</b>"];

function shade(seed) {
  const mixed = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) >>> 0;
  return [mixed & 63, (mixed >> 6) & 63, (mixed >> 12) & 63];
}

function between(seed, end, t) {
  const [a, b] = [shade(seed), shade(end ?? seed)];
  return a.map((value, i) => (1 - t) * value + t * b[i]);
}

/** Five functions as `mount` takes them. `asked` gets every image that is rendered, with its window. */
export function fakeTransport(kind, asked) {
  const labelled = kind !== "unconditional";
  const [height, width] = kind === "large" ? [128, 256] : [32, 64];
  const names = kind === "many" ? Array.from({length: 300}, (_, i) => `class ${i}`) : NAMES;
  const classes = labelled
    ? names.map((name, id) => ({id, name, color: [(id * 67) % 256, (id * 131) % 256, (id * 29 + 90) % 256], dont_care: id === 0}))
    : [];
  const info = {
    name: `fake ${kind}`,
    step: 12000,
    family: "fake",
    height,
    width,
    multiple: 4,
    min: [height, width],
    max: [height, width],
    classes,
    labels: labelled,
    noise: kind !== "fixed",
    spatial: kind !== "flat",
    isotropic: false,
    levels: [[0], [1, 2], [3, 4, 5, 6]],
    styles: labelled ? 0 : 10,
    preview: kind === "large",
    examples: labelled ? [{name: "street"}, {name: "park"}] : [],
  };
  const maps = () => new (names.length > 256 ? Uint16Array : Uint8Array)(height * width);
  const rowsOf = (seed) => Array.from({length: 7}, (_, i) => [((seed >>> i) % 7) / 10 - 0.3, ((seed >>> (i + 3)) % 11) / 10 - 0.5, 0.3]);
  return {
    info: async () => info,
    async render(image, {preview, signal}) {
      asked.push({image, preview});
      await new Promise((resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        setTimeout(resolve, kind === "large" && !preview ? 300 : 5);
      });
      if (image.seed === 666) throw new Error("This seed is refused.");
      const {top, left, ...size} = preview ?? {top: 0, left: 0, height, width};
      const rows = kind === "flat" ? [[9, 9]] : (image.heatmaps ?? rowsOf(image.seed));
      const whole = between(image.seed, image.end?.seed, image.t);
      const rgb = new Uint8Array(3 * size.height * size.width);
      for (let y = 0, j = 0; y < size.height; y++) {
        for (let x = 0; x < size.width; x++, j += 3) {
          const i = (y + top) * width + x + left;
          const region = image.regions[(image.regionMap?.[i] ?? 0) - 1];
          const own = labelled ? image.class_seeds[names[image.labels[i]]] : undefined;
          const tone = region ? between(region.seed, region.end, region.t) : own === undefined ? whole : shade(own);
          const colour = labelled ? classes[image.labels[i]].color : [90, 110, 130];
          const [dy, dx] = [(2 * (y + top)) / height - 1 - rows[0][0], (2 * (x + left)) / width - 1 - rows[0][1]];
          const near = Math.exp(-dy * dy - dx * dx);
          for (let c = 0; c < 3; c++) rgb[j + c] = 0.6 * colour[c] + tone[c] + 30 * near * image.truncation;
        }
      }
      return {...size, rgb, top, left, exact: !preview};
    },
    async open(file, name) {
      const text = await file.text();
      if (name.endsWith(".json")) {
        const record = JSON.parse(text);
        const end = record.interpolation ? {seed: record.interpolation.seed, class_seeds: record.interpolation.class_seeds} : null;
        return {
          height,
          width,
          labels: labelled ? maps().fill(2) : null,
          ...record,
          regions: [],
          end,
          t: record.interpolation?.t ?? 0,
          heatmaps: record.base_heatmaps ?? null,
        };
      }
      throw new Error(`${name} is damaged: it ends too early`);
    },
    async example(name) {
      const labels = maps();
      for (let y = 0; y < height; y++) labels.fill(y < height / 2 ? 1 : name === "street" ? 3 : 6, y * width, (y + 1) * width);
      for (let y = height / 4; y < 0.75 * height; y++) labels.fill(2, y * width, y * width + width / 4);
      return {height, width, labels, photo: null};
    },
    heatmaps: kind === "flat" ? undefined : async (seed) => rowsOf(seed),
  };
}
