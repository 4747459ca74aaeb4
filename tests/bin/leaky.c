/* leaky.c - leaks on purpose: tests/rig/net_holds shows that the net catches it although
 * Criterion reports success. */
#include <criterion/criterion.h>
#include <stdlib.h>

static void *volatile kept;

static void leak_on_purpose(void)
{
	kept = malloc(4321);
	kept = NULL;
}

Test(leaky, a_leak_that_criterion_does_not_notice)
{
	leak_on_purpose();
	cr_assert(true);
}
