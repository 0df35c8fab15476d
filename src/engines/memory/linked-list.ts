// A doubly linked list whose nodes carry the links, so that any can be taken out at once.

export interface ListNode<T> {
  prev: T | undefined
  next: T | undefined
}

export class LinkedList<T extends ListNode<T>> {
  first: T | undefined
  last: T | undefined

  append (node: T): void {
    node.prev = this.last
    node.next = undefined
    if (this.last === undefined) this.first = node
    else this.last.next = node
    this.last = node
  }

  remove (node: T): void {
    if (node.prev === undefined) this.first = node.next
    else node.prev.next = node.next
    if (node.next === undefined) this.last = node.prev
    else node.next.prev = node.prev
    node.prev = node.next = undefined
  }

  /** Makes a node the last. */
  refresh (node: T): void {
    if (node === this.last) return
    this.remove(node)
    this.append(node)
  }
}
