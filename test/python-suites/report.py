"""Runs one module of CPython's own tests and writes what became of each test to standard output: a line `status<TAB>name`.

status is ok, skip, fail, error or expected; `end` is the last line when the module came to its end. The second argument is 1 when tests
that want a network may run, the third a regular expression for tests that are left out (a hang would hide all that come after).
Standard error shows the tests as unittest does, and takes what they print themselves.
"""
import os
import re
import sys
import unittest
from test import support

module, network, leave_out = sys.argv[1:4]
resources = ['cpu', 'subprocess']
support.use_resources = resources + ['network'] if network == '1' else resources
# Many tests look at this to leave out what is only for a person at a terminal.
support.verbose = 0
report = os.fdopen(os.dup(1), 'w', buffering=1)
os.dup2(2, 1)


class Reporter(unittest.TextTestResult):
    """A test counts with the worst that happened in it or in its subtests."""

    def startTest(self, test):
        self.status = 'ok'
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        write(self.status, test.id())

    def addSkip(self, test, reason):
        self.status = 'skip'
        super().addSkip(test, reason)

    def addExpectedFailure(self, test, err):
        self.status = 'expected'
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test):
        self.status = 'fail'
        super().addUnexpectedSuccess(test)

    def addFailure(self, test, err):
        self.status = 'fail'
        super().addFailure(test, err)

    def addError(self, test, err):
        self.status = 'error'
        super().addError(test, err)
        # setUpClass and setUpModule have no startTest.
        if not isinstance(test, unittest.TestCase):
            write('error', test.id())

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.status = 'fail'
        super().addSubTest(test, subtest, err)


def write(status, name):
    report.write(f'{status}\t{name}\n')


def chosen(suite):
    kept = unittest.TestSuite()
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            kept.addTest(chosen(part))
        elif leave_out == '' or not re.search(leave_out, part.id()):
            kept.addTest(part)
    return kept


suite = chosen(unittest.defaultTestLoader.loadTestsFromName('test.' + module))
unittest.TextTestRunner(verbosity=2, resultclass=Reporter).run(suite)
write('end', module)
