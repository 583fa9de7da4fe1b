/**
 * What a protocol of AF_NETLINK answers to a request: at once (`answer`), or with a list of messages that the reader takes piece by piece (`dump`).
 */
import type { SocketCaller } from '../socket/socket.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';

/** One message of a dump, or several; which header it has is the writer's business. */
export type DumpItem = (writer: Reply) => void;

/** Begins messages with the sequence number and port of the asker. */
export class Reply {
  readonly writer: MessageWriter;
  private readonly sequence: number;
  private readonly port: number;
  private readonly flags: number;

  constructor(writer: MessageWriter, sequence: number, port: number, flags: number) {
    this.writer = writer;
    this.sequence = sequence;
    this.port = port;
    this.flags = flags;
  }

  begin(type: number, flags = 0): MessageWriter {
    this.writer.begin(type, this.flags | flags, this.sequence, this.port);
    return this.writer;
  }
}

export interface NetlinkProtocol {
  /** The messages of a dump, or -errno. */
  dump(request: NetlinkRequest, caller: SocketCaller): DumpItem[] | number;
  /** Serves a request: 0 or -errno. Messages written to `reply` are its answer. */
  answer(request: NetlinkRequest, reply: Reply, caller: SocketCaller): number;
}
