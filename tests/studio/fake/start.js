/** Studios over a fake model: ?model=plain|large|many|flat (no heatmaps)|fixed (no noise)|unconditional and ?mounts=2. */
import {mount} from "../page/studio.js";
import {fakeTransport} from "./transport.js";

const query = new URLSearchParams(location.search);
const first = document.querySelector("body > div");
const places = [first];
for (let n = 1; n < Number(query.get("mounts") ?? 1); n++) {
  document.body.classList.remove("oasis-studio-page");
  places.push(document.createElement("div"));
  document.body.append(places[n]);
}
window.desks = [];
window.asked = [];
for (const place of places) window.desks.push(await mount(place, fakeTransport(query.get("model") ?? "plain", window.asked)));
if (places.length === 1) window.desks[0].focus();
