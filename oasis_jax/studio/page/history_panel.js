/** The list of all steps, newest first. The user can return to any step, or compare with it. */
import {button, enable, make, passFocus, press, section, walkable} from "./elements.js";

export class HistoryPanel {
  shown = null;

  constructor(desk) {
    this.desk = desk;
    this.list = make("ol", {class: "steps", reversed: true, "aria-label": "Steps"});
    walkable(this.list);
    this.restart = button({
      name: "restart",
      text: "Start over",
      title: "Back to the map as it was opened; can be undone",
      onclick: () => desk.travel(() => desk.session.startOver()),
    });
    this.element = section("History", true, this.list, this.restart);
  }

  row(position, name) {
    const {desk} = this;
    const go = button({text: name, title: `Go to: ${name}`, class: "step", onclick: () => desk.travel(() => desk.session.move(position))});
    const compare = button({
      name: "compare",
      title: `Compare with: ${name}`,
      class: "icon",
      onclick: () => desk.compareWith(desk.ui.compared === position ? null : position),
    });
    return {element: make("li", {}, go, compare), go, compare, name, step: desk.session.history.steps[position - 1]};
  }

  update() {
    const {session, ui} = this.desk;
    const {steps, position} = session.history;
    let same = 0;
    this.rows ??= [];
    while (same < this.rows.length && same <= steps.length && this.rows[same].step === steps[same - 1]) same++;
    for (const {element} of this.rows.splice(same)) {
      passFocus(element);
      element.remove();
    }
    for (let i = same; i <= steps.length; i++) {
      const row = this.row(i, i ? steps[i - 1].name : "Beginning");
      this.rows.push(row);
      this.list.prepend(row.element);
    }
    const state = `${position} ${steps.length} ${ui.compared}`;
    if (state === this.shown && same > steps.length) return;
    this.shown = state;
    this.rows.forEach(({element, go, compare}, i) => {
      element.classList.toggle("undone", i > position);
      element.classList.toggle("current", i === position);
      if (i === position) go.setAttribute("aria-current", "step");
      else go.removeAttribute("aria-current");
      go.tabIndex = i === position ? 0 : -1;
      press(compare, i === ui.compared);
      compare.tabIndex = -1;
      compare.hidden = i === position;
    });
    const {element} = this.rows[position];
    this.list.scrollTop = Math.max(
      Math.min(this.list.scrollTop, element.offsetTop),
      element.offsetTop + element.offsetHeight - this.list.clientHeight,
    );
    enable(this.restart, position !== session.history.opening);
  }
}
