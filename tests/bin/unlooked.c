/* unlooked.c - for the workers of the tests: no look for leaks at their end.
 *
 * A sanitizer looks for leaks when a process ends, by a child of that process which stops and
 * traces it. Workers are killed at any moment, and whatever is in their tree with them: the child
 * is, and its parent then waits for it for ever, or the parent is, and the child complains. Leaks
 * of liblw-worker and of lw-worker are found by the unit tests and by valgrind.
 */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
	return 1;
}
