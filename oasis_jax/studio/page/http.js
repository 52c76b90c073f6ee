/** The transport to a server, by GET and POST requests. */
import {transportOver, unpacked} from "./messages.js";

const PLACE = ["Height", "Width", "Top", "Left"];

/** What a response holds: JSON, a photo whose place is in its headers, or a message. */
async function partsOf(response) {
  const {headers} = response;
  if (headers.get("Content-Type")?.startsWith("application/json")) return {header: await response.json()};
  const buffer = await response.arrayBuffer();
  if (!headers.has("X-Height")) return unpacked(buffer);
  const place = PLACE.map((name) => [name.toLowerCase(), Number(headers.get(`X-${name}`))]);
  return {header: {...Object.fromEntries(place), exact: headers.get("X-Exact") === "1"}, rest: buffer};
}

/** Five functions, as `mount` takes them, over a server whose address is `base`. The token of its address goes with every request. */
export function httpTransport(base, tab = undefined) {
  const token = new URL(base).searchParams.get("token");
  const headers = token ? {"X-Token": token} : {};

  async function ask(path, {body, name, signal} = {}) {
    const url = new URL(path, base);
    url.search = new URLSearchParams(name === undefined ? {} : {name});
    let response;
    try {
      response = await fetch(url, {method: body === undefined ? "GET" : "POST", body, signal, headers, cache: "no-store"});
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Error("The studio's server does not answer. If it has ended, start it again; your work is kept here.");
    }
    if (response.ok) return partsOf(response);
    const text = await response.text();
    let message = `The server answered ${response.status} ${response.statusText}`.trim();
    try {
      message = JSON.parse(text).error ?? message;
    } catch {
      // a proxy's page says less than its number
    }
    throw new Error(message);
  }

  return transportOver(ask, tab);
}
