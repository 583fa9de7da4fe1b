/** Shells: dash and bash scripts print inside what they print on Linux, or what is written here. */
import { describe, expect, test } from 'vitest';
import { expectSame, inScratch } from '../harness/expect-same.ts';
import { runInside } from '../harness/run.ts';

const shells = ['dash', 'bash'];

describe.for(shells)('%s', (shell) => {
  const expectScript = (text: string) => expectSame([`/bin/${shell}`, '-c', text]);

  test('pipelines', async () => {
    const { stdout } = await expectScript('seq 1 1000 | grep 7 | sort -rn | head -n 3 | tr "\\n" " "; echo; yes | head -c 100000 | wc -c');
    expect(stdout).toBe('997 987 979 \n100000\n');
  });

  test('the last status of a pipeline', async () => {
    await expectScript('false | true; echo $?; true | false; echo $?; ! false | false; echo $?; (exit 7); echo $?');
  });

  test('here-documents', async () => {
    await expectScript(
      'name=world; cat <<EOF\nhello $name\n$(echo nested; cat <<INNER\ninner\nINNER\n)\nEOF\ncat <<"EOF"\n$name stays\nEOF\ncat <<-EOF\n\ttab goes\n\tEOF',
    );
    await expectScript(`cat <<EOF | wc -c\n${'x'.repeat(100_000)}\nEOF`);
  });

  test('traps', async () => {
    await expectScript('trap "echo on exit" EXIT; trap "echo on usr1" USR1; kill -USR1 $$; (trap "echo sub" EXIT; true); echo end');
    await expectScript('trap "" TERM; kill -TERM $$; echo survived; trap - TERM; sh -c \'kill -TERM $$\'; echo $?');
  });

  test('command substitution', async () => {
    await expectScript(
      'a=$(echo one; echo two); echo "$a"; b=`echo \\`echo deep\\``; echo $b; echo $(exit 3); c=$(exit 3); echo $?; echo "$(seq 1 20000 | tail -n 1)"',
    );
  });

  test('redirections', async () => {
    await expectScript(
      'echo out > f; echo more >> f; cat < f; ls missing 2>&1 | head -c 2; { echo a; echo b >&2; } 2>err >out; cat err out; exec 5>five; echo five >&5; exec 5>&-; cat five; echo x 3>&1 1>&2 2>&3 | cat',
    );
  });

  test('loops, functions, arithmetic, case', async () => {
    await expectScript(
      'f() { local n=$1; [ $n -le 1 ] && echo 1 && return; echo $((n * $(f $((n - 1))))); }; f 8; for i in *; do echo "$i"; done; i=0; while [ $i -lt 3 ]; do i=$((i + 1)); case $i in 2) continue;; esac; echo $i; done',
    );
  });

  test('globs and quoting', async () => {
    await expectScript(
      'touch a1 a2 b1 "with space" .hidden; echo a* ?1 [ab]1 .h* "*"; for f in *; do echo "<$f>"; done; set -- "a b" c; echo $# "$@"; IFS=:; v=x:y:z; set -- $v; echo $2',
    );
  });

  test('background jobs and wait', async () => {
    await expectScript(
      '(sleep 0.1; exit 4) & p=$!; wait $p; echo $?; for i in 1 2 3; do (exit $i) & done; wait; echo all; sleep 5 & kill $!; wait $!; echo $?',
    );
  });

  test('exec and subshells', async () => {
    await expectScript(
      '(cd /; pwd); x=1; (x=2; echo $x); echo $x; (exec echo replaced; echo never); echo $PPID | grep -c "^[0-9]"; umask 027; umask',
    );
  });

  test('exit by signals', async () => {
    await expectScript('for s in HUP INT TERM KILL SEGV; do sh -c "kill -$s \\$\\$"; echo $?; done');
  });
});

describe('bash alone', () => {
  const expectScript = (text: string) => expectSame(['/bin/bash', '-c', text]);

  test('process substitution, arrays, here-strings', async () => {
    const { stdout } = await expectScript(
      'diff <(seq 1 3) <(seq 1 4); a=(x y z); echo ${a[@]:1} ${#a[@]}; declare -A m=([k]=v); echo ${m[k]}; cat <<< "here $((6*7))"; tee >(cat >&2) < /dev/null; echo {1..5}',
    );
    expect(stdout).toContain('here 42');
  });

  test('pipefail, PIPESTATUS, coproc', async () => {
    await expectScript(
      'set -o pipefail; false | true; echo $?; true | false | true; echo ${PIPESTATUS[@]}; coproc cat; echo through >&${COPROC[1]}; exec {COPROC[1]}>&-; read -r l <&${COPROC[0]}; echo "$l"',
    );
  });

  test('job control', async () => {
    await expectScript(
      'set -m; sleep 0.3 & jobs | grep -c Running; fg %1 >/dev/null; echo $?; sleep 10 & kill -STOP %1; wait -n 2>/dev/null; sleep 0.1; jobs | grep -c Stopped; kill -KILL %1; wait; echo done',
    );
  });

  test('an interactive shell without a terminal', async () => {
    const outcome = await runInside(['bash', '--norc', '-i'], { stdin: 'echo $((6 * 7))\nexit 5\n' });
    expect(outcome.stdout).toContain('42');
    expect(outcome.status).toBe(5);
  });
});

test('a script with an interpreter line, by path', async () => {
  await inScratch(async () => {
    await expectSame([
      '/bin/sh',
      '-c',
      'printf "#!/bin/bash\\necho \\$0 \\$1 \\$BASH_VERSION | cut -d. -f1-3\\n" > s; chmod +x s; ./s one; PATH=.:$PATH; s two',
    ]);
  });
});
