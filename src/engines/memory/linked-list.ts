// A doubly linked list whose nodes carry the links, so that any can be removed at once. The list has no object of its
// own: it is known by its first node, whose `prev` is the last one; the `next` of the last one is undefined. Nodes
// outside have no links.

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

/** Returns the node that is the first afterwards. */
export function remove<T extends ListNode<T>> (first: T, node: T): T | undefined {
  const { prev, next } = node
  node.prev = node.next = undefined
  if (next !== undefined) next.prev = prev
  if (node === first) return next
  prev!.next = next
  if (next === undefined) first.prev = prev
  return first
}

/** Returns the node that is the first afterwards. */
export function moveToEnd<T extends ListNode<T>> (first: T, node: T): T {
  return node.next === undefined ? first : append(remove(first, node), node)
}
