/* crowded.c - executes its arguments with descriptors 3 to 1199 taken, so that whatever they open
 * lies above what select(2) can name. Started by e2e_child. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define LAST 1199

int main(int argc, char **argv)
{
	int fd = 0;

	if (argc < 2)
		return 2;
	while (fd >= 0 && fd < LAST)
		fd = open("/dev/null", O_RDWR);
	if (fd >= 0)
		execv(argv[1], argv + 1);
	perror("crowded");
	return 2;
}
