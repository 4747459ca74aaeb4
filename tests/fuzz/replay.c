/* replay.c - feeds a target the files it is given, and those in folders it is given.
 *
 *     replay_<target> FILE|FOLDER...
 *
 * The plain program beside libFuzzer's: seeds and regressions are ordinary tests with it, in
 * every build. Says how many inputs there were; none at all is a failure. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "lw_buf.h"

static size_t fed;

static void feed(const char *path)
{
	FILE *file = fopen(path, "rb");
	LW_AUTO_BUF all = { 0 };
	uint8_t part[4096];
	size_t n;

	HOLDS(file != NULL, "cannot open '%s': %s", path, strerror(errno));
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		lw_buf_add(&all, part, n);
	fclose(file);
	fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
	lw_buf_grow(&all, 1);          /* never NULL */
	LLVMFuzzerTestOneInput(all.data, all.size);
	fed++;
}

static void feed_folder(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);

	HOLDS(n >= 0, "cannot read '%s': %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		LW_AUTO(lw_free) char *file = lw_format("%s/%s", path, entries[i]->d_name);

		if (entries[i]->d_name[0] != '.')
			feed(file);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	struct stat about;

	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &about) == 0 && S_ISDIR(about.st_mode))
			feed_folder(argv[i]);
		else
			feed(argv[i]);
	}
	printf("%zu inputs\n", fed);
	return fed > 0 ? 0 : 1;
}
