// Draws what ui/bars/__init__.py sends: a row a bar, its name, and its number behind it.

export default function ({ data, parentElement }) {
  const table = parentElement.querySelector("table")
  table.setAttribute("aria-label", data.title)
  table.replaceChildren(...data.rows.map(({ name, share, text, marked }) => {
    const row = document.createElement("tr")
    row.innerHTML = `<th scope="row"></th>
      <td><span class="row"><span class="track"><span class="bar"></span></span><span class="number"></span></span></td>`
    row.querySelector("th").textContent = name
    row.querySelector(".number").textContent = text
    const bar = row.querySelector(".bar")
    bar.style.width = `${100 * share}%`
    if (marked) bar.style.background = data.color
    return row
  }))
}
