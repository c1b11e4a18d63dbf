// Draws what ui/panels/__init__.py sends: pictures and maps cut from one sheet, or maps as numbers.

function element(tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text) node.textContent = text
  return node
}

// A window on the sheet. A canvas each would be a layer each, which takes the browser long to put
// together.
function picture(panel, sheet) {
  const [x, y, width, height] = panel.at
  const node = element("span", "picture")
  const part = (start, free) => `${free ? 100 * start / free : 0}%`
  node.style.aspectRatio = `${width} / ${height}`
  node.style.backgroundSize = `${100 * sheet.width / width}% ${100 * sheet.height / height}%`
  node.style.backgroundPosition = `${part(x, sheet.width - width)} ${part(y, sheet.height - height)}`
  return node
}

function numbers(panel) {
  const grid = element("span", "cells")
  grid.style.gridTemplateColumns = `repeat(${panel.shape[1]}, 1fr)`
  grid.style.setProperty("--across", panel.shape[1])
  panel.cells.forEach(([color, ink], i) => {
    const cell = element("span", "cell", panel.values[i].toFixed(3))
    cell.style.background = color
    cell.style.color = ink
    grid.append(cell)
  })
  return grid
}

function span(name, first, count) {
  return count > 1 ? `${name} ${first}–${first + count - 1}` : `${name} ${first}`
}

// "patch 6 (row 2, column 2), pixels x 8–15, y 8–15", for a place of a map or of a grid of patches
function where(row, column, [rows, columns], size, cell) {
  const patch = `${cell ?? "patch"} ${row * columns + column + 1}`
  if (!size || rows === 1) return patch
  const height = size[0] / rows, width = size[1] / columns
  const pixels = `${span("x", Math.round(column * width), Math.round(width))}, ` +
    span("y", Math.round(row * height), Math.round(height))
  if (width <= 1) return `pixel ${pixels}`
  return `${patch} (row ${row + 1}, column ${column + 1}), pixels ${pixels}`
}

function tell(panel, row, column, shape, size) {
  const place = where(row, column, shape, panel.size ?? size, panel.cell)
  const isOwn = panel.shape && panel.shape[0] === shape[0] && panel.shape[1] === shape[1]
  if (!panel.values || !isOwn) return place
  return `${place}: ${panel.values[row * shape[1] + column].toFixed(4)} ${panel.unit}`
}

// Says over the place under the mouse what lies there.
function hover(face, panel, shape, size, tip) {
  if (!shape) return
  face.onpointermove = event => {
    // cells of a wide map wrap, so they know themselves where they are
    const cell = event.target.closest(".cell")
    const box = face.getBoundingClientRect()
    const index = cell && [...cell.parentElement.children].indexOf(cell)
    const row = cell ? Math.floor(index / shape[1]) : Math.floor((event.clientY - box.top) / box.height * shape[0])
    const column = cell ? index % shape[1] : Math.floor((event.clientX - box.left) / box.width * shape[1])
    if (row < 0 || column < 0 || row >= shape[0] || column >= shape[1]) return
    show(tip, tell(panel, row, column, shape, size), event.clientX, event.clientY)
  }
  face.onpointerleave = () => { tip.hidden = true }
}

function show(tip, text, x, y) {
  tip.textContent = text
  tip.hidden = false
  const left = Math.min(x + 12, innerWidth - tip.offsetWidth - 8)
  tip.style.left = `${Math.max(8, left)}px`
  tip.style.top = `${y + 16 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 8 : y + 16}px`
}

// A button a patch over a picture: one stop of the Tab key, arrows go from patch to patch.
function patches(panel, { grid: [rows, columns], picked, size }, tip, choose) {
  const layer = element("div", "patches")
  layer.style.gridTemplateColumns = `repeat(${columns}, 1fr)`
  layer.setAttribute("role", "group")
  layer.setAttribute("aria-label", `${panel.caption}: patches`)
  const start = picked ?? 0
  for (let i = 0; i < rows * columns; i++) {
    const button = element("button")
    const words = tell(panel, Math.floor(i / columns), i % columns, [rows, columns], size)
    button.type = "button"
    button.tabIndex = i === start ? 0 : -1
    button.setAttribute("aria-label", words)
    button.setAttribute("aria-pressed", i === picked)
    button.onclick = event => { if (event.detail < 2) choose(i) } // a double click picks once
    button.onfocus = () => {
      if (!button.matches(":focus-visible")) return
      const box = button.getBoundingClientRect()
      show(tip, words, box.right, box.bottom)
    }
    button.onblur = () => { tip.hidden = true }
    layer.append(button)
  }
  layer.onkeydown = event => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key]
    const at = [...layer.children].findIndex(button => button.matches(":focus"))
    if (!step || at < 0) return
    event.preventDefault()
    const row = Math.min(Math.max(Math.floor(at / columns) + step[0], 0), rows - 1)
    const column = Math.min(Math.max(at % columns + step[1], 0), columns - 1)
    layer.children[at].tabIndex = -1
    layer.children[row * columns + column].tabIndex = 0
    layer.children[row * columns + column].focus()
  }
  return layer
}

function legend({ colors, unit, low, high }) {
  const node = element("div", "legend")
  const ramp = element("span", "ramp")
  ramp.style.background = `linear-gradient(to right, ${colors.join(", ")})`
  node.append(element("span", "", `${unit}: ${low}`), ramp, element("span", "", high))
  return node
}

function grouped(figures, size) {
  if (size === 1) return figures
  const groups = []
  for (let i = 0; i < figures.length; i += size) {
    const group = element("div", "group")
    group.append(...figures.slice(i, i + size))
    const notes = group.querySelectorAll(".note")
    if (notes.length === 1) notes[0].classList.add("alone") // may go on below its neighbours
    groups.push(group)
  }
  return groups
}

const newest = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".panels")
  const sheet = new Image()
  sheet.src = data.sheet
  newest.set(root, sheet)
  // what is there stays until the new can be seen
  sheet.decode().then(() => { if (newest.get(root) === sheet) draw(root, data, sheet, setTriggerValue) })
}

function draw(root, data, sheet, setTriggerValue) {
  const isNew = !root.hasChildNodes()
  const place = `vitascope ${data.key}`
  root.style.setProperty("--panel-width", `${data.width}px`)
  root.style.setProperty("--group", data.group)
  root.style.setProperty("--columns", data.columns ?? 1000)
  const style = element("style", "", `.picture { background-image: url("${data.sheet}") }`)
  const tip = element("div", "tip")
  tip.hidden = true
  const figures = data.panels.map((panel, index) => {
    const figure = element("figure", panel.wide ? "wide" : "")
    const isButton = data.clickable && !data.grid
    const face = element(isButton ? "button" : "div", "face")
    const content = panel.cells ? numbers(panel) : picture(panel, sheet)
    content.setAttribute("role", "img")
    content.setAttribute("aria-label", panel.alt)
    face.append(content)
    if (isButton) {
      face.type = "button"
      if (data.selected !== null) face.setAttribute("aria-pressed", index === data.selected)
      face.setAttribute("aria-label", panel.alt)
      if (!panel.values) face.title = panel.alt // a map has words for every place
      face.onclick = () => {
        if (data.keepPlace) sessionStorage.setItem(place, panel.alt)
        setTriggerValue("clicked", index)
      }
    }
    if (data.grid) face.append(patches(panel, data, tip, patch => setTriggerValue("picked", patch)))
    hover(face, panel, panel.shape ?? data.grid, data.size, tip)
    if (data.keepPlace) face.classList.add("leads-on") // ui/address/address.js looks for it
    if (index === data.selected) face.classList.add("selected")
    if (panel.caption) figure.append(element("figcaption", "", panel.caption))
    figure.append(face)
    if (panel.note) figure.append(element("div", `note ${panel.verdict}`, panel.note))
    return figure
  })
  const focused = [...root.querySelectorAll("button")].findIndex(button => button.matches(":focus"))
  root.replaceChildren(style, ...grouped(figures, data.group))
  if (data.legend) root.append(legend(data.legend))
  root.append(tip)
  root.querySelectorAll("button")[focused]?.focus()
  if (isNew && data.keepPlace) {
    const left = data.panels.findIndex(panel => panel.alt === sessionStorage.getItem(place))
    sessionStorage.removeItem(place)
    const face = figures[left]?.querySelector("button")
    face?.scrollIntoView({ block: "center" })
    face?.focus({ preventScroll: true })
  }
}
