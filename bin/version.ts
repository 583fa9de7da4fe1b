/** The version of this package; `npm version` keeps it equal to package.json through the test beside it. */
export const VERSION = '0.1.0';
