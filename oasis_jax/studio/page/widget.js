/** The studio in a notebook cell, as an anywidget. Requests are sent to the kernel as messages with binary buffers. */
import {messageOf, transportOver, unpacked} from "./messages.js";
import {newName} from "./random.js";
import {mount} from "./studio.js";

const PATIENCE = 60_000; // ms

/**
 * The transport over the `model` of a widget, with close(). If its `progress` is set, it is called with the lines of progress that the
 * kernel sends before the first answer.
 */
function kernelTransport(model, view = newName()) {
  const waiting = new Map();
  let info = null;
  let count = 0;
  let last = Promise.resolve();

  /** Sends messages in the order of the calls. */
  function send(message, body) {
    const bytes = body === undefined ? [] : [new Blob([body]).arrayBuffer()];
    const before = last.catch(() => {});
    return (last = before.then(async () => model.send({view, ...message}, undefined, await Promise.all(bytes))));
  }

  function settle(number, end) {
    const asked = waiting.get(number);
    if (!asked) return; // the answer to another view of the widget, or to a cancelled request
    waiting.delete(number);
    clearTimeout(asked.late);
    end(asked);
  }

  function heard(message, buffers) {
    if (message.progress) transport.progress?.(message.progress);
    settle(message.number, ({resolve, reject}) => {
      if (message.error) return reject(new Error(message.error));
      const {buffer, byteOffset, byteLength} = buffers[0];
      resolve(unpacked(buffer.slice(byteOffset, byteOffset + byteLength)));
    });
  }

  function ask(what, {name, body, signal} = {}) {
    const number = `${view}.${++count}`;
    const fail = (error) => settle(number, ({reject}) => reject(error));
    const answer = new Promise((resolve, reject) => waiting.set(number, {resolve, reject}));
    if (what !== "info") {
      const said = "The kernel does not answer. If a cell is running, wait for it; if the kernel was restarted, run this cell again.";
      waiting.get(number).late = setTimeout(() => fail(new Error(said)), PATIENCE);
    }
    signal?.addEventListener("abort", () => {
      if (waiting.has(number)) send({leave_out: number}).catch(() => {});
      fail(signal.reason);
    });
    send({ask: what, number, name}, body).catch(fail);
    return answer;
  }

  const asks = transportOver(ask, view);
  const transport = {
    ...asks,
    info: async () => (info = await asks.info()),
    settled(image) {
      send({settled: true}, messageOf(image, info, {})).catch(() => {}); // the next request will report that the kernel does not answer
    },
    close() {
      model.off("msg:custom", heard);
      for (const number of [...waiting.keys()]) settle(number, ({reject}) => reject(new Error("The studio is closed.")));
      send({closed: true}).catch(() => {});
    },
  };
  model.on("msg:custom", heard);
  return transport;
}

/** Shows a widget in the element `el`; returns a function that removes it again. */
export function render({model, el}) {
  const element = document.createElement("div");
  el.append(element);
  const arrange = () => (element.style.height = `${model.get("height")}px`);
  arrange();
  model.on("change:height", arrange);
  el.addEventListener("keydown", (event) => event.stopPropagation()); // the notebook has its own shortcuts
  const transport = kernelTransport(model);
  let desk = null;
  let closed = false;
  mount(element, transport).then(
    (mounted) => {
      desk = mounted;
      if (closed) desk.close();
    },
    () => {}, // the element shows the error
  );
  return () => {
    closed = true;
    desk?.close();
    transport.close();
    model.off("change:height", arrange);
  };
}
