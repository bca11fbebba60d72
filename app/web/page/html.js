// The one way to write elements: htm reads a template, Preact makes them. No text becomes markup.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
