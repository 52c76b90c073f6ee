/** The transport to a server: POST requests whose body is a JSON header, its length before it, and the bytes of maps behind it. */

function packed(header, ...maps) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const size = new DataView(new ArrayBuffer(4));
  size.setUint32(0, text.length, true);
  return new Blob([size, text, ...maps.filter(Boolean)], {type: "application/octet-stream"});
}

function unpacked(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  return {header: JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size))), rest: buffer.slice(4 + size)};
}

/** The header of an image: only what a model takes, for a server refuses other fields. */
export function headerOf(image, info) {
  const side = ({seed, class_seeds}) => (info.labels ? {seed, class_seeds} : {seed});
  const header = {height: image.height, width: image.width, ...side(image), end: image.end && side(image.end), t: image.t};
  if (info.labels) header.regions = image.regions;
  if (info.spatial) header.heatmaps = image.heatmaps;
  if (info.styles) Object.assign(header, {truncation: image.truncation, style_seeds: image.style_seeds});
  return header;
}

/** Six functions, as `mount` takes them, over a server whose address is `base`. The token of its address goes with every request. */
export function httpTransport(base, tab = crypto.getRandomValues(new Uint32Array(1))[0].toString(16)) {
  const token = new URL(base).searchParams.get("token");
  let info = null;

  async function ask(path, {body, query = {}, signal} = {}) {
    const url = new URL(path, base);
    url.search = new URLSearchParams(query);
    let response;
    try {
      const headers = token ? {"X-Token": token} : {};
      response = await fetch(url, {method: body === undefined ? "GET" : "POST", body, signal, headers, cache: "no-store"});
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Error("The studio's server does not answer. If it has ended, start it again; your work is kept here.");
    }
    if (response.ok) return response;
    const text = await response.text();
    let message = `The server answered ${response.status} ${response.statusText}`.trim();
    try {
      message = JSON.parse(text).error ?? message;
    } catch {
      // a proxy's page says less than its number
    }
    throw new Error(message);
  }

  /** An image from a message: a label map alone, or a whole recipe. */
  async function opened(response) {
    const {header, rest} = unpacked(await response.arrayBuffer());
    const size = header.height * header.width;
    const bytes = info.classes.length > 256 ? 2 : 1;
    const labels = info.labels ? new (bytes === 2 ? Uint16Array : Uint8Array)(rest.slice(0, bytes * size)) : null;
    const after = info.labels ? bytes * size : 0;
    const regionMap = header.regions?.length ? new Uint8Array(rest.slice(after, after + size)) : null;
    return {...header, labels, regionMap, tail: new Uint8Array(rest.slice(after + (regionMap ? size : 0)))};
  }

  return {
    async info() {
      return (info = await (await ask("info")).json());
    },
    async render(image, {preview = null, signal} = {}) {
      const maps = info.labels ? [image.labels, image.regions.length ? image.regionMap : null] : [];
      const response = await ask("render", {body: packed({...headerOf(image, info), preview, tab}, ...maps), signal});
      const number = (name) => Number(response.headers.get(name));
      const rgb = new Uint8Array(await response.arrayBuffer());
      const exact = response.headers.get("X-Exact") === "1" || response.headers.get("X-Exact")?.toLowerCase() === "true";
      return {height: number("X-Height"), width: number("X-Width"), top: number("X-Top"), left: number("X-Left"), exact, rgb};
    },
    async open(file, name) {
      return opened(await ask("open", {body: file, query: {name}}));
    },
    async example(name) {
      const {tail, ...image} = await opened(await ask("example", {query: {name}}));
      return {...image, photo: tail.length ? tail : null};
    },
    async heatmaps(seed) {
      return (await (await ask("heatmaps", {body: JSON.stringify({seed})})).json()).heatmaps;
    },
  };
}
