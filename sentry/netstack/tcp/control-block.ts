/**
 * The state of one connection: what RFC 9293 section 3.3.1 calls the transmission control block. Data only; what happens to it is in the files of
 * the state families (handshake, input, acknowledgement, output, timers, closing …), and guests reach it through `TcpConnection` (connection.ts).
 *
 * All quantities of data are octets, the congestion window too. Sequence numbers are signed 32-bit. `…Us` are readings of the context's
 * microsecond clock, which wraps, or durations of it; `…Ns` are CLOCK_MONOTONIC.
 */
import { Timer } from '../../lib/timer-queue.ts';
import { Path } from '../ip/path.ts';
import type { CongestionControl } from './congestion/congestion-control.ts';
import type { TcpContext } from './context.ts';
import { CONNECTION, TcpEntry } from './entry.ts';
import { ACK_DELAY_MIN_US, INFINITE_SSTHRESH, RTO_INITIAL_US } from './limits.ts';
import type { TcpListener } from './listener.ts';
import { TcpOptions } from './options.ts';
import { OutOfOrderQueue } from './out-of-order-queue.ts';
import { SegmentList } from './segment.ts';
import type { Segment } from './segment.ts';
import { CA_OPEN, CLOSED } from './states.ts';

/** Who owns the connection: the socket. `events` are POLL* bits that may have become true; ask `connection.events` for what holds. */
export interface TcpObserver {
  onChange(events: number): void;
}

/** What the retransmission timer is set for. */
export const TIMER_NONE = 0;
export const TIMER_RETRANSMIT = 1;
export const TIMER_PERSIST = 2;
export const TIMER_LOSS_PROBE = 3;
export const TIMER_REORDER = 4;

/** `ackPending` bits. */
export const ACK_SCHEDULED = 1;
export const ACK_NOW = 2;
/** The last segment carried PSH; and so did one before it. */
export const ACK_PUSHED = 4;
export const ACK_PUSHED_TWICE = 8;

export class ControlBlock extends TcpEntry {
  // Fixed.
  readonly context: TcpContext;
  readonly options = new TcpOptions();
  readonly path = new Path();
  readonly timer: Timer;

  // Life.
  state = CLOSED;
  /** SHUT_RECEIVE, SHUT_SEND. */
  shut = 0;
  /** Pending SO_ERROR, positive; and what ICMP said that does not end the connection. */
  error = 0;
  softError = 0;
  observer: TcpObserver | null = null;
  /** No socket any more. */
  isOrphan = false;
  /** It was connected once. */
  wasConnected = false;
  /** The local address is the route's choice. */
  wasAddressChosen = false;
  /** Until the handshake is done: whose child it is. */
  listener: TcpListener | null = null;

  // Negotiated (RFC 7323, 2018).
  sendScale = 0;
  receiveScale = 0;
  usesTimestamps = false;
  usesSack = false;
  /** The peer's MSS option; the MSS we announced; what a segment carries at present; what we hand down at once. */
  peerMss = 536;
  announcedMss = 536;
  mss = 536;
  sendGoal = 536;
  /** Path MTU that `mss` was computed for. */
  knownMtu = 0;

  // Send sequence.
  initialSend = 0;
  sendUnacked = 0;
  sendNext = 0;
  /** End of what the guest has written, FIN included. */
  writeEnd = 0;
  sendWindow = 0;
  /** Sequence of the segment that last updated the window. */
  windowUpdateSeq = 0;
  maxWindow = 0;
  /** End of what must be pushed. */
  pushedSeq = 0;
  /** RFC 9293 section 3.8.5: behind the last urgent octet, while `sendsUrgent`. */
  urgentEnd = 0;
  sendsUrgent = false;
  readonly sendQueue = new SegmentList();
  /** First segment never sent. */
  unsent: Segment | null = null;
  sendCharge = 0;
  /** Somebody found the send buffer full. */
  wantsRoom = false;
  lastSentUs = 0;
  /** End of the last segment that was not full when Nagle's algorithm let it go (Minshall's variant). */
  smallEnd = 0;
  finQueued = false;

  // Scoreboard (RFC 6675), in octets; without SACK `sackedBytes` counts duplicate acknowledgements.
  sackedBytes = 0;
  lostBytes = 0;
  retransmittedBytes = 0;
  highestSacked = 0;
  /** By time of last transmission. */
  oldestSent: Segment | null = null;
  newestSent: Segment | null = null;
  retransmitHint: Segment | null = null;
  /** Where the last SACK block ended. */
  sackHint: Segment | null = null;
  /** Counts transmissions. */
  sendOrder = 0;
  totalRetransmits = 0;
  bytesRetransmitted = 0;

  // Congestion.
  congestion: CongestionControl;
  caState = CA_OPEN;
  cwnd = 0;
  ssthresh = INFINITE_SSTHRESH;
  cwndClamp = 2 ** 30;
  isCwndLimited = false;
  /** Most octets in flight since the last round began. */
  maxInFlight = 0;
  maxInFlightEnd = 0;
  /** Recovery ends when this is acknowledged. */
  highSeq = 0;
  /** Proportional rate reduction (RFC 6937). */
  prrActive = false;
  prrDelivered = 0;
  prrOut = 0;
  priorCwnd = 0;
  priorSsthresh = 0;
  /** Undoing a wrong reduction: whether that is possible, where it began, retransmissions not yet reported as duplicates (-1: none were sent), timestamp of the first. */
  mayUndo = false;
  undoMarker = 0;
  undoRetransmits = 0;
  retransmitStamp = 0;
  delivered = 0;

  // RACK-TLP (RFC 8985).
  rackOrder = 0;
  rackEndSeq = 0;
  rackRttUs = 0;
  rackSteps = 1;
  rackPersist = 0;
  rackRoundEnd = 0;
  rackDsackSeen = false;
  isReorderSeen = false;
  rackValid = false;
  probeEnd = 0;
  probePending = false;
  probeRetransmitted = false;

  // Round trip (RFC 6298): srtt in 1/8, the variation in 1/4 microseconds, as Linux scales them.
  srttUs = 0;
  mdevUs = 0;
  mdevMaxUs = RTO_INITIAL_US / 5;
  rttVarUs = 0;
  rttSeq = 0;
  minRttUs = -1;
  minRttStampUs = 0;
  rtoUs = RTO_INITIAL_US;
  backoff = 0;
  /** Retransmissions, or unanswered window or keepalive probes, in a row. */
  retransmits = 0;
  probesOut = 0;
  /** When the peer was last silent from, for TCP_USER_TIMEOUT. */
  stalledSinceNs = 0;

  // Receive sequence.
  initialReceive = 0;
  receiveNext = 0;
  /** What the last acknowledgement said: sequence and window, so that the right edge never moves left. */
  acknowledged = 0;
  receiveWindow = 0;
  windowClamp = 65_535;
  slowStartWindow = 65_535;
  /** Next octet the guest reads. */
  copiedSeq = 0;
  readonly receiveQueue = new SegmentList();
  readonly outOfOrder = new OutOfOrderQueue();
  receiveCharge = 0;
  receivedBytes = 0;
  /** Segment size the peer seems to use. */
  receiveMss = 536;
  finReceived = false;
  /** Urgent data (tcp(7)): whether a mark was announced, its sequence, whether and which octet came. */
  urgentState = 0;
  urgentSeq = 0;
  urgentByte = 0;

  // Timestamps (RFC 7323).
  timestampOffset = 0;
  recentTimestamp = 0;
  recentStampMs = 0;
  hasRecentTimestamp = false;

  // Acknowledging.
  ackPending = 0;
  quickAcks = 0;
  /** The guest answers what it receives: acknowledgements ride on answers. */
  pingPong = 0;
  ackTimeoutUs = ACK_DELAY_MIN_US;
  hasAckTimeout = false;
  lastReceivedUs = 0;
  lastReceivedSize = 0;
  dsackStart = 0;
  dsackEnd = 0;
  hasDsack = false;
  lastInvalidUs = 0;
  hasInvalid = false;

  // Receive buffer tuning.
  tuneSeq = 0;
  tuneUs = 0;
  tuneSpace = 0;
  receiveRttUs = 0;
  receiveRttSeq = 0;
  receiveRttStartUs = 0;

  // Timers: one heap entry for all, set to the earliest of these.
  retransmitAtNs = Infinity;
  delayedAckAtNs = Infinity;
  keepAliveAtNs = Infinity;
  timerKind = TIMER_NONE;

  // Figures for TCP_INFO.
  segmentsIn = 0;
  segmentsOut = 0;
  dataSegmentsIn = 0;
  dataSegmentsOut = 0;
  bytesAcked = 0;
  bytesReceived = 0;
  bytesSent = 0;
  lastDataSentMs = 0;
  lastDataReceivedMs = 0;
  lastAckReceivedMs = 0;
  dsacksReceived = 0;

  constructor(context: TcpContext, congestion: CongestionControl, onTimer: (connection: ControlBlock, nowNs: number) => void) {
    super(CONNECTION);
    this.context = context;
    this.congestion = congestion;
    this.timer = new Timer((nowNs) => onTimer(this, nowNs));
  }
}
