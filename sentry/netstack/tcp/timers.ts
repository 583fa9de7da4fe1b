/**
 * A connection's deadlines: retransmission (also: window probe, loss probe, reordering), delayed acknowledgement, keepalive. They share one
 * place in the heap of timers, set to the earliest.
 *
 * Setting a deadline later than the heap's costs nothing: most are moved long before they are due, with every segment. So the heap may fire
 * early; timeouts.ts then finds nothing due and sets the timer again.
 */
import { TIMER_NONE } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';

/** `afterUs` from now. */
export function setRetransmitTimer(connection: ControlBlock, kind: number, afterUs: number): void {
  connection.timerKind = kind;
  connection.retransmitAtNs = connection.context.nowNs + afterUs * 1000;
  armTimer(connection);
}

export function clearRetransmitTimer(connection: ControlBlock): void {
  connection.timerKind = TIMER_NONE;
  connection.retransmitAtNs = Infinity;
}

export function setAckTimer(connection: ControlBlock, afterUs: number): void {
  connection.delayedAckAtNs = connection.context.nowNs + afterUs * 1000;
  armTimer(connection);
}

/** `afterMs` from now. */
export function setKeepAliveTimer(connection: ControlBlock, afterMs: number): void {
  connection.keepAliveAtNs = connection.context.nowNs + afterMs * 1_000_000;
  armTimer(connection);
}

/** Makes the heap fire no later than the earliest deadline. */
export function armTimer(connection: ControlBlock): void {
  let earliest = connection.retransmitAtNs;
  if (connection.delayedAckAtNs < earliest) earliest = connection.delayedAckAtNs;
  if (connection.keepAliveAtNs < earliest) earliest = connection.keepAliveAtNs;
  if (earliest < connection.timer.deadlineNs) connection.context.timers.set(connection.timer, earliest);
}

export function clearTimers(connection: ControlBlock): void {
  connection.timerKind = TIMER_NONE;
  connection.retransmitAtNs = Infinity;
  connection.delayedAckAtNs = Infinity;
  connection.keepAliveAtNs = Infinity;
  connection.context.timers.cancel(connection.timer);
}
