/* main.c - lwctl: see, kill, restart and re-run the works of a running app. */
#include "lwctl.h"

int main(int argc, char **argv)
{
	return lwctl_main(argc, (const char *const *)argv);
}
