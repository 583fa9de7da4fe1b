/** coreutils, findutils, grep, sed, awk, tar with gzip and xz, perl, sqlite3: outputs as on Linux. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { expectSame } from '../harness/expect-same.ts';
import { runInside } from '../harness/run.ts';

const expectScript = (text: string, timeoutMs = 60_000) => expectSame(['/bin/sh', '-ec', text], { timeoutMs });

describe('coreutils', () => {
  test('files', async () => {
    await expectScript(
      'mkdir -p a/b/c; echo text > a/f; cp -r a copy; mv copy moved; ln -s a/f link; ln a/f hard; readlink link; cat link; stat -c "%n %s %a %h %F" a/f hard link; stat -c "%n %a %F" moved; rm -r moved; ls -AlR --time-style=+ --hide-control-chars | sed "s/^total.*//" | awk \'{print $1, $2, $NF}\'',
    );
  });

  test('text', async () => {
    await expectScript(
      'seq 1 100 > n; sort -R n | sort -n | md5sum; shuf -i 1-50 | sort -n | tail -n 1; paste n n | head -n 2; cut -c1-2 n | uniq -c | sort -rn | head -n 3; tac n | nl | tail -n 1; split -l 30 n part; ls part*; comm -12 partaa n 2>/dev/null | wc -l; od -An -tx1 -N 8 n; base64 n | head -n 1; wc n',
    );
  });

  test('sums and copies', async () => {
    await expectScript(
      'head -c 3000000 /dev/zero | tr "\\0" "q" > big; sha256sum big; md5sum < big; cksum big; dd if=big of=part bs=4096 skip=3 count=10 2>/dev/null; stat -c %s part; truncate -s 1G sparse; stat -c %s sparse; cmp big big && echo same; cp --sparse=always big big2; cmp big big2; install -m 640 n1 n2 2>/dev/null || true; mktemp -d ./x.XXXX | wc -c',
    );
  });

  test('the machine', async () => {
    await expectScript(
      'id -u; id -un; echo $((1 + 1)); printenv PATH; nproc | grep -c "^[0-9]"; date -u -d @86400 +%F; test -t 1 || echo no terminal; timeout 0.2 sleep 5 || echo $?; nice -n 3 nice; env -i A=1 env; true; basename /x/y.z .z; realpath -m /a/../b; sleep 0.01; pwd | wc -l; df . | wc -l; du -s . | wc -l; sync; tty || true',
    );
  });

  test('ls / shows directories of a machine', async () => {
    const outcome = await runInside(['ls', '/']);
    expect(outcome.stdout.split('\n')).toEqual(expect.arrayContaining(['dev', 'etc', 'proc', 'tmp', 'usr']));
  });
});

describe('findutils, grep, sed, awk', () => {
  test('find and xargs', async () => {
    await expectScript(
      'mkdir -p t/a t/b; for i in 1 2 3; do echo $i > t/a/f$i; done; touch -d 2001-01-01 t/a/f1; find t | sort; find t -name "f[12]" -newermt 2010-01-01; find t -type f -size -2 -exec cat {} + | sort; find t -type f -print0 | xargs -0 -n1 -P2 basename | sort; find t -empty; find t -type f -delete; find t | wc -l',
    );
  });

  test('find over /usr/share', async () => {
    await expectScript(
      'find /usr/share -xdev | wc -l; find /usr/include -name "std*.h" | sort | md5sum; find /usr/bin -perm -4000 2>/dev/null | sort',
    );
  });

  test('grep over /usr/include', async () => {
    await expectScript(
      'grep -r --include=*.h -c EINVAL /usr/include/asm-generic | sort | md5sum; grep -rl "define PATH_MAX" /usr/include | sort; grep -o "SYS_[a-z]*" -rh /usr/include/x86_64-linux-gnu/bits/syscall.h | sort -u | wc -l',
    );
  });

  test('sed and awk', async () => {
    await expectScript(
      'seq 1 10 > n; sed -n "2,4p;\\$p" n; sed -i.bak "s/1/one/g" n; cat n n.bak | md5sum; awk \'{s += $1} END {print s, NR}\' n.bak; awk \'BEGIN {while (("echo piped" | getline l) > 0) print l; print "to sort" | "sort"; close("sort"); system("echo from system")}\'',
    );
  });
});

describe('archives', () => {
  test('tar, gzip and xz round trip of /usr/include', async () => {
    const text = (compress: string) =>
      `tar -C /usr -c ${compress} -f a.tar include; mkdir out; tar -x ${compress} -f a.tar -C out; diff -r --no-dereference /usr/include out/include && echo same; tar -t ${compress} -f a.tar | sort | md5sum`;
    const { stdout } = await expectScript(text('-z'), 170_000);
    expect(stdout).toContain('same');
  });

  test('xz', async () => {
    await expectScript(
      'tar -C /usr/include -cf a.tar linux; xz -k -1 -T1 a.tar; xz -t a.tar.xz; xz -dc a.tar.xz | cmp - a.tar && echo same; gzip -9 < a.tar | gunzip | cmp - a.tar && echo same',
      120_000,
    );
  });
});

describe('perl', () => {
  test('files, processes, sockets, sort', async () => {
    await expectScript(
      `perl -e 'open my $p, "-|", "seq 1 5" or die; my $s = 0; $s += $_ while <$p>; print "$s\\n"; my $pid = fork; if (!$pid) { exit 6 } waitpid $pid, 0; print $? >> 8, "\\n"; local $SIG{ALRM} = sub { die "alarm\\n" }; eval { alarm 1; select undef, undef, undef, 5; }; print $@; opendir my $d, "/usr/include/linux" or die; print scalar(grep { /\\.h$/ } readdir $d) > 100 ? "many\\n" : "few\\n"; print join(",", sort { $b <=> $a } map { $_ * 2 } 1..5), "\\n"'`,
    );
  });

  test('a socket pair and select', async () => {
    await expectScript(
      `perl -MSocket -MIO::Handle -MIO::Select -e 'socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die; $a->autoflush(1); if (!fork) { print $a "from the child\\n"; exit } my $s = IO::Select->new($b); print "ready\\n" if $s->can_read(5); print scalar <$b>; wait'`,
    );
  });
});

describe.runIf(existsSync('/usr/bin/sqlite3'))('sqlite3', () => {
  test('a table with an index, and two processes on one file', async () => {
    await expectScript(
      'sqlite3 db "create table t(i integer primary key, s text); with recursive n(x) as (select 1 union all select x + 1 from n where x < 5000) insert into t select x, hex(x) from n; create index s on t(s);"; sqlite3 db "select count(*), sum(i) from t; pragma integrity_check; pragma journal_mode=wal;"; (sqlite3 -cmd ".timeout 5000" db "update t set s = s || 1 where i < 100") & sqlite3 -cmd ".timeout 5000" db "update t set s = s || 2 where i > 4900"; wait; sqlite3 db "select count(*) from t where length(s) > 3; pragma integrity_check"',
    );
  });
});
