// Draws what ui/panels/__init__.py sends: pictures cut from one sheet, and maps as coloured cells.

function element(tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text) node.textContent = text
  return node
}

function picture(panel, sheet) {
  const [x, y, width, height] = panel.at
  const canvas = element("canvas")
  canvas.width = width
  canvas.height = height
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", panel.alt)
  sheet.then(image => canvas.getContext("2d").drawImage(image, x, y, width, height, 0, 0, width, height))
  return canvas
}

function cells(panel) {
  const grid = element("span", "cells")
  grid.style.gridTemplateColumns = `repeat(${panel.cells[0].length}, 1fr)`
  grid.setAttribute("role", "img")
  grid.setAttribute("aria-label", panel.alt)
  for (const row of panel.cells) {
    for (const { color, ink, text, hover } of row) {
      const cell = element("span", "cell", text)
      cell.style.background = color
      cell.style.color = ink
      cell.title = hover
      grid.append(cell)
    }
  }
  return grid
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
    groups.push(group)
  }
  return groups
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".panels")
  root.style.setProperty("--panel-width", `${data.width}px`)
  root.style.setProperty("--group", data.group)
  root.style.setProperty("--columns", data.columns ?? 1000)
  const image = new Image()
  image.src = data.sheet
  const sheet = image.decode().then(() => image)
  const figures = data.panels.map((panel, index) => {
    const figure = element("figure", panel.wide ? "wide" : "")
    const face = element(data.clickable ? "button" : "div", "face")
    face.append(panel.cells ? cells(panel) : picture(panel, sheet))
    if (data.clickable) {
      face.type = "button"
      face.title = panel.alt
      face.onclick = () => setTriggerValue("clicked", index)
    }
    if (index === data.selected) face.classList.add("selected")
    if (panel.caption) figure.append(element("figcaption", "", panel.caption))
    figure.append(face)
    if (panel.note) figure.append(element("div", `note ${panel.verdict}`, panel.note))
    return figure
  })
  const focused = [...root.querySelectorAll("button")].findIndex(face => face.matches(":focus"))
  root.replaceChildren(...grouped(figures, data.group))
  if (data.legend) root.append(legend(data.legend))
  root.querySelectorAll("button")[focused]?.focus()
}
