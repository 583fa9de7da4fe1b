/**
 * The policy: which flows and names a sandbox may have. Pure; who asks has the names that were bound to an address (bindings.ts).
 *
 *     judgeFlow(protocol, address, port, names)           before a socket is opened
 *     judgeName(name)                                     before a question is passed to a resolver
 *     judgeClaim(address, port, names, claimed)           when a flow says whom it means to talk to (TLS server name, HTTP Host)
 *
 * A rule that denies beats any that allows. Without a rule that allows, everything is but special addresses; with one, nothing else is. Special
 * addresses need a rule that names them: a prefix within theirs. Ports of rules count for ICMP as not given: only rules for all ports match it.
 */
import type { IpAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_TCP } from '#sentry/netstack/ip/header.ts';
import { coversPort, isEverything, matchesAddress, matchesName, PORT_MAX } from './rule.ts';
import type { Rule } from './rule.ts';
import { SPECIAL_PREFIXES } from './special-addresses.ts';
import type { SpecialPrefix } from './special-addresses.ts';

export interface Verdict {
  readonly isAllowed: boolean;
  /** The rule that decided; null: what holds without one. */
  readonly rule: Rule | null;
  /** For the report. */
  readonly reason: string;
  /** The flow has to be judged again by what it claims. */
  readonly isByName: boolean;
}

function allowed(rule: Rule | null, reason: string): Verdict {
  return { isAllowed: true, rule, reason, isByName: false };
}

function denied(rule: Rule | null, reason: string): Verdict {
  return { isAllowed: false, rule, reason, isByName: false };
}

export class Policy {
  private readonly allow: readonly Rule[];
  private readonly deny: readonly Rule[];
  private readonly special: readonly SpecialPrefix[];
  private readonly hasAllowedNames: boolean;
  private readonly hasDeniedNames: boolean;

  constructor(allow: readonly Rule[], deny: readonly Rule[], special: readonly SpecialPrefix[] = SPECIAL_PREFIXES) {
    this.special = special;
    this.allow = allow;
    this.deny = deny;
    this.hasAllowedNames = allow.some((rule) => rule.name !== null);
    this.hasDeniedNames = deny.some((rule) => rule.name !== null);
  }

  /** Whether names matter at all. */
  get hasNameRules(): boolean {
    return this.hasAllowedNames || this.hasDeniedNames;
  }

  /** `names`: normal names that an answer for them bound to the address. `port`: 0 for ICMP. */
  judgeFlow(protocol: number, address: IpAddress, port: number, names: readonly string[]): Verdict {
    const refusing = this.deny.find((rule) => coversFlow(rule, protocol, port) && (isEverything(rule) || matchesAddress(rule, address)));
    if (refusing !== undefined) return denied(refusing, 'denied by rule');
    const refusedName = this.denialOfAll(protocol, port, names);
    if (refusedName !== null) return denied(refusedName, 'denied by name');
    const named = this.allow.find((rule) => coversFlow(rule, protocol, port) && matchesAddress(rule, address));
    const special = this.special.find((prefix) => address.isIn(prefix.address, prefix.bits));
    if (special !== undefined) return judgeSpecial(special.bits, special.what, named);
    return this.judgeOrdinary(protocol, port, names, named);
  }

  private judgeOrdinary(protocol: number, port: number, names: readonly string[], named: Rule | undefined): Verdict {
    const byAddress = named ?? this.allow.find((rule) => isEverything(rule) && coversFlow(rule, protocol, port));
    if (byAddress !== undefined || this.allow.length === 0) {
      return { isAllowed: true, rule: byAddress ?? null, reason: 'open address', isByName: this.hasDeniedNames };
    }
    const byName = this.allow.find((rule) => coversFlow(rule, protocol, port) && names.some((name) => matchesName(rule, name)));
    if (byName !== undefined) return { isAllowed: true, rule: byName, reason: 'address of an allowed name', isByName: true };
    return denied(null, names.length === 0 ? 'no rule allows the address, and no allowed name resolved to it' : 'no rule allows it');
  }

  /** A rule that denies one of `names`, if every one of them is denied: an address may be shared by names of which only some are. */
  private denialOfAll(protocol: number, port: number, names: readonly string[]): Rule | null {
    if (!this.hasDeniedNames || names.length === 0) return null;
    let found: Rule | undefined;
    for (const name of names) {
      found = this.deny.find((rule) => coversFlow(rule, protocol, port) && matchesName(rule, name));
      if (found === undefined) return null;
    }
    return found ?? null;
  }

  /** Whether the normal name may be resolved. Rules for some ports or one protocol only are left to `judgeFlow`. */
  judgeName(name: string): Verdict {
    const refusing = this.deny.find((rule) => isUnlimited(rule) && (isEverything(rule) || matchesName(rule, name)));
    if (refusing !== undefined) return denied(refusing, 'denied by rule');
    if (!this.hasAllowedNames) return allowed(null, 'open name');
    const allowing = this.allow.find((rule) => isEverything(rule) || matchesName(rule, name));
    return allowing === undefined ? denied(null, 'no rule allows the name') : allowed(allowing, 'allowed by rule');
  }

  /** A TCP flow that `judgeFlow` allowed says that it means `claimed`, a normal name. */
  judgeClaim(address: IpAddress, port: number, names: readonly string[], claimed: string): Verdict {
    const refusing = this.deny.find((rule) => coversPort(rule, IPPROTO_TCP, port) && matchesName(rule, claimed));
    if (refusing !== undefined) return denied(refusing, 'denied by rule');
    if (!this.judgeFlow(IPPROTO_TCP, address, port, []).isAllowed) {
      // Open by name only: it has to be one of those names, else any site behind the same address could be asked for.
      if (!names.includes(claimed)) return denied(null, 'the address was not resolved for this name');
      const allowing = this.allow.find((rule) => coversPort(rule, IPPROTO_TCP, port) && matchesName(rule, claimed));
      if (allowing === undefined) return denied(null, 'no rule allows the name');
    }
    return allowed(null, 'open name');
  }
}

function judgeSpecial(bits: number, what: string, named: Rule | undefined): Verdict {
  if (named === undefined || named.prefix!.bits < bits) return denied(null, `${what}: needs a rule that names it`);
  return allowed(named, 'allowed by rule');
}

function coversFlow(rule: Rule, protocol: number, port: number): boolean {
  return port === 0 ? isUnlimited(rule) : coversPort(rule, protocol, port);
}

function isUnlimited(rule: Rule): boolean {
  return rule.protocol === 0 && rule.firstPort <= 1 && rule.lastPort === PORT_MAX;
}
