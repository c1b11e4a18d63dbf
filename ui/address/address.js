// The page's address: a button that copies it, and a history in which a step is a step.

// On the way to another page, Streamlit first adds this page without its own choices to the browser's
// history, then the other one, then that again with each of its choices. Of these, only the other
// page as it is in the end is worth coming back to.
// So, too, with one click that changes several choices: what follows the first change completes it.
let isLeaving = false, hasStepped = false
const { pushState, replaceState } = history
history.pushState = function (state, title, url) {
  const stays = new URL(url, location.href).pathname === location.pathname
  if (stays && isLeaving) return
  const completes = stays && hasStepped
  isLeaving = false
  hasStepped = true
  return (completes ? replaceState : pushState).call(this, state, title, url)
}
for (const kind of ["pointerdown", "keydown"]) {
  addEventListener(kind, () => { isLeaving = hasStepped = false }, { capture: true })
}
addEventListener("click", event => {
  isLeaving = event.composedPath().some(node => node.matches?.("a[href], .leads-on"))
}, { capture: true })

function address(pinned) {
  const url = new URL(location.href)
  for (const [key, values] of Object.entries(pinned)) {
    if (!url.searchParams.has(key)) values.forEach(value => url.searchParams.append(key, value))
  }
  return url.href
}

async function copy(text, root) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  // a page that is not served over https has no clipboard, only the old way
  const field = document.createElement("textarea")
  field.value = text
  root.append(field)
  field.select()
  const copied = document.execCommand("copy")
  field.remove()
  if (!copied) throw new Error("not copied")
}

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  const status = parentElement.querySelector("span")
  button.textContent ||= "Copy link"
  button.onclick = async () => {
    const text = address(data.pinned)
    try {
      await copy(text, parentElement)
      status.textContent = "" // else the same word again is not read out
      button.textContent = status.textContent = "Copied"
    } catch {
      prompt("Copy this link:", text)
    }
    setTimeout(() => { button.textContent = "Copy link" }, 2000)
  }
}
