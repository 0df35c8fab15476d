// Formats numbers, sizes and times.
import { h, setText } from './dom.js'

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })
const UNITS = [['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]] as const

export function count (number: number): string {
  return whole.format(number)
}

/** With three significant digits. */
export function amount (number: number): string {
  return number >= 1000 ? whole.format(Math.round(number)) : short.format(number)
}

export function plural (number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`
}

export function bytes (number: number): string {
  if (number < 1024) return plural(number, 'byte')
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(Math.floor(Math.log2(number) / 10), units.length)
  return `${short.format(number / 1024 ** power)} ${units[power - 1]!}`
}

export function rate (number: number): string {
  return number > 0 && number < 0.1 ? '< 0.1/s' : `${number < 100 ? short.format(Math.round(number * 10) / 10) : count(Math.round(number))}/s`
}

export function duration (seconds: number): string {
  if (seconds < 1) return `${amount(seconds * 1000)} ms`
  const [unit, size] = UNITS.find(([, size]) => seconds >= size)!
  return plural(Math.floor(seconds / size), unit)
}

let skew = 0

/** Times are relative to the server's clock; `date` is from one of its responses, exact to a second. */
export function setClock (date: string | null): void {
  const difference = date === null ? 0 : Date.parse(date) - Date.now()
  skew = Math.abs(difference) < 2000 ? 0 : difference
}

export function now (): number {
  return Date.now() + skew
}

/** "3 minutes ago", with the time as its title. Kept up to date by `tick`. */
export function time (iso: string | undefined, otherwise = ''): HTMLTimeElement {
  const element = h('time')
  setTime(element, iso, otherwise)
  return element
}

export function setTime (element: HTMLTimeElement, iso: string | undefined, otherwise = ''): void {
  if (iso === undefined) {
    element.removeAttribute('datetime')
    element.removeAttribute('title')
    setText(element, otherwise)
    return
  }
  if (element.dateTime !== iso) {
    element.dateTime = iso
    element.title = new Date(iso).toLocaleString()
  }
  setText(element, ago(iso))
}

function ago (iso: string): string {
  const seconds = Math.round((Date.parse(iso) - now()) / 1000)
  if (seconds === 0) return 'now'
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size)!
  return relative.format(Math.trunc(seconds / size), unit)
}

/** Updates all times on the page. */
export function tick (): void {
  for (const element of document.querySelectorAll('time[datetime]')) {
    setText(element, ago((element as HTMLTimeElement).dateTime))
  }
}
