// Builds elements. Text is always inserted as text; neither this code nor the Content-Security-Policy permits markup.

export type Child = Node | string | undefined | false

export interface Attributes {
  [name: string]: string | number | boolean | undefined | ((event: Event) => unknown)
}

/** An element. Attributes that are functions are listeners: `{ click: () => {} }`. */
export function h<K extends keyof HTMLElementTagNameMap> (
  tag: K, attributes: Attributes = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  return built(document.createElement(tag), attributes, children)
}

/** An SVG element. */
export function svg (tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  return built(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children)
}

function built<E extends Element> (element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== undefined && value !== false) element.setAttribute(name, String(value))
  }
  element.append(...children.filter(child => child !== undefined && child !== false))
  return element
}

export function button (label: string, onclick: () => unknown, attributes: Attributes = {}): HTMLButtonElement {
  return h('button', { type: 'button', click: onclick, ...attributes }, label)
}

/** Does nothing if the node already has that text, so that a selection in it is kept. */
export function setText (node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text
}

/** A form field with its label. */
export function field (label: string, input: HTMLElement, hint?: string): HTMLElement {
  return h('label', { class: 'field' }, h('span', {}, label), input, hint !== undefined && h('small', {}, hint))
}

/** A name for use in text: quoted, with invisible characters made visible. */
export function quoted (name: string): string {
  return JSON.stringify(name).replace(
    /[\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
}

/** The same, without quotes if it is clear without them. */
export function shown (name: string): string {
  const text = quoted(name)
  return /\\[^"]/.test(text) || name === '' || name !== name.trim() ? text : name
}
