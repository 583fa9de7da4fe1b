/**
 * A map from IP addresses to objects, in order of insertion. Looking up makes no string and no object: buckets are found by the address's
 * hash, whose few collisions are chained.
 */
import { IpAddress } from './address.ts';

class Node<T> {
  readonly address = new IpAddress();
  value: T;
  next: Node<T> | null;

  constructor(address: IpAddress, value: T, next: Node<T> | null) {
    this.address.copy(address);
    this.value = value;
    this.next = next;
  }
}

export class AddressMap<T> {
  size = 0;
  private readonly buckets = new Map<number, Node<T>>();

  get(address: IpAddress): T | null {
    let node = this.buckets.get(address.hash) ?? null;
    while (node !== null && !node.address.equals(address)) node = node.next;
    return node === null ? null : node.value;
  }

  set(address: IpAddress, value: T): void {
    const { hash } = address;
    const first = this.buckets.get(hash) ?? null;
    for (let node = first; node !== null; node = node.next) {
      if (!node.address.equals(address)) continue;
      node.value = value;
      return;
    }
    this.buckets.set(hash, new Node(address, value, first));
    this.size++;
  }

  delete(address: IpAddress): boolean {
    const { hash } = address;
    let before: Node<T> | null = null;
    let node = this.buckets.get(hash) ?? null;
    while (node !== null && !node.address.equals(address)) {
      before = node;
      node = node.next;
    }
    if (node === null) return false;
    if (before !== null) before.next = node.next;
    else if (node.next === null) this.buckets.delete(hash);
    else this.buckets.set(hash, node.next);
    this.size--;
    return true;
  }

  /** One that has been here longest, or about so; null: there is none. */
  get eldest(): T | null {
    for (const first of this.buckets.values()) return first.value;
    return null;
  }

  clear(): void {
    this.buckets.clear();
    this.size = 0;
  }
}
