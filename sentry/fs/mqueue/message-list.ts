/**
 * Messages by priority, the highest first, and among equals in order of arrival. A list for each priority in use, in ascending order: there are
 * few of them as a rule, and never more than messages.
 */
export interface Message {
  readonly priority: number;
  readonly text: Uint8Array;
}

interface Level {
  readonly priority: number;
  readonly messages: Set<Message>;
}

export class MessageList {
  length = 0;
  /** Bytes of all texts. */
  bytes = 0;
  private readonly levels: Level[] = [];

  add(message: Message): void {
    const { levels } = this;
    const at = this.indexOf(message.priority);
    let level = levels[at];
    if (level === undefined || level.priority !== message.priority) {
      level = { priority: message.priority, messages: new Set() };
      levels.splice(at, 0, level);
    }
    level.messages.add(message);
    this.length++;
    this.bytes += message.text.length;
  }

  /** Takes the first message out; null when there is none. */
  take(): Message | null {
    const highest = this.levels.at(-1);
    if (highest === undefined) return null;
    const message = highest.messages.values().next().value!;
    highest.messages.delete(message);
    if (highest.messages.size === 0) this.levels.pop();
    this.length--;
    this.bytes -= message.text.length;
    return message;
  }

  /** Index of the first level that is not below `priority`. */
  private indexOf(priority: number): number {
    let low = 0;
    let high = this.levels.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.levels[middle]!.priority < priority) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
