/** The transport to a server, over GET and POST requests. */
import {transportOver, unpacked} from "./messages.js";

const PLACE = ["Height", "Width", "Top", "Left"];

/** The parts {header, rest} of a response: JSON, a photo with its position in the HTTP headers, or a message. */
async function partsOf(response) {
  const {headers} = response;
  if (headers.get("Content-Type")?.startsWith("application/json")) return {header: await response.json()};
  const buffer = await response.arrayBuffer();
  if (!headers.has("X-Height")) return unpacked(buffer);
  const place = PLACE.map((name) => [name.toLowerCase(), Number(headers.get(`X-${name}`))]);
  return {header: {...Object.fromEntries(place), exact: headers.get("X-Exact") === "1"}, rest: buffer};
}

/** The transport of `mount` to the server at the address `base`. The token in that address is sent with every request. */
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
      // not JSON, such as the error page of a proxy: the status says more
    }
    throw new Error(message);
  }

  return transportOver(ask, tab);
}
