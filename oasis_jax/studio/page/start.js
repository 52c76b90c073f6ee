/** The studio as a page of its own, connected to the server that sent it. */
import {httpTransport} from "./http.js";
import {mount} from "./studio.js";

const studio = await mount(document.querySelector("body > div"), httpTransport(location.href));
document.title = `${studio.info.name} · oasis_jax studio`;
studio.focus();
