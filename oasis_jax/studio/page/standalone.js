/** Starts the studio in a self-contained page: its script elements hold the network and the data that a server would send. */
import {fromBase64} from "./base64.js";
import {localTransport} from "./local.js";
import {mount} from "./studio.js";

/** The contents of the script element with this name, which are gzip in base64. */
async function part(name) {
  const text = document.querySelector(`script[data-part="${name}"]`).textContent;
  const stream = new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Mounts the studio in `element`, which shows a status until then, or the reason if it cannot start. */
export async function start(element) {
  const text = async (name) => new TextDecoder().decode(await part(name));
  element.textContent = "Loading the network …";
  try {
    const [facts, worker, runtime, glue] = await Promise.all(["facts", "worker", "runtime", "glue"].map(text));
    const [wasm, model] = await Promise.all(["wasm", "model"].map(part));
    const transport = await localTransport(JSON.parse(facts), {worker, runtime, glue, wasm, model});
    element.textContent = "";
    const studio = await mount(element, transport);
    document.title = `${studio.info.name} · ${document.title}`;
    studio.focus();
  } catch (error) {
    element.textContent = `The network cannot be started in this browser: ${error.message}`;
    element.setAttribute("role", "alert");
  }
}
