// Copies the page's address, with what a link has to say even where the address bar leaves it out.

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
      button.textContent = status.textContent = "Copied"
    } catch {
      prompt("Copy this link:", text)
    }
    setTimeout(() => { button.textContent = "Copy link" }, 2000)
  }
}
