// A doubly linked list whose nodes carry the links, so any node can be removed in constant time. The list is
// represented by its first node, whose `prev` is the last node; the `next` of the last node is undefined. Nodes
// outside a list have no links.

export interface ListNode<T> {
  prev: T | undefined
  next: T | undefined
}

/** Returns the first node. */
export function append<T extends ListNode<T>> (first: T | undefined, node: T): T {
  if (first === undefined) {
    node.prev = node
    return node
  }
  node.prev = first.prev
  first.prev!.next = node
  first.prev = node
  return first
}

/** Returns the new first node. */
export function remove<T extends ListNode<T>> (first: T, node: T): T | undefined {
  const { prev, next } = node
  node.prev = node.next = undefined
  if (next !== undefined) next.prev = prev
  if (node === first) return next
  prev!.next = next
  if (next === undefined) first.prev = prev
  return first
}

/** Returns the new first node. */
export function moveToEnd<T extends ListNode<T>> (first: T, node: T): T {
  return node.next === undefined ? first : append(remove(first, node), node)
}
