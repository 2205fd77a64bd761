// The keyboard. One letter is enough, except where somebody types.

import { $ } from "./dom.js";

export function listen({ board, editor, actions, filter, show, theme }) {
  const onCard = (event, id) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.shiftKey && by) {
      board.follow(id);
      return actions.shift(id, by);
    }
    switch (event.key) {
      case "ArrowLeft": case "ArrowRight": case "ArrowUp": case "ArrowDown": case "Home": case "End":
        return board.step(id, event.key);
      case "e": return editor.open(id);
      case "Delete": case "Backspace": return removeAndStep(id);
    }
    return anywhere(event);
  };

  const removeAndStep = (id) => {
    const { column } = board.find(id), index = column.indexOf(id);
    const next = column.items[index + 1] ?? column.items[index - 1];
    actions.remove(id);
    if (next) board.follow(next.id);
  };

  const anywhere = (event) => {
    switch (event.key) {
      case "n": show("board"); return editor.open(null);
      case "/": show("board"); return filter.focus();
      case "u": return actions.undo();
      case "b": return show("board");
      case "a": return show("activity");
      case "f": return show("flow");
      case "t": return theme();
      case "?": return $("#help").showModal();
    }
    return unused;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open], .dragging")) return;
    if (event.target.matches("input, select, textarea") && event.target.checkVisibility()) { // not one of a dialog that has just gone
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const id = board.selected;
    if ((id ? onCard(event, id) : anywhere(event)) !== unused) event.preventDefault();
  });
}

const unused = Symbol("unused");
