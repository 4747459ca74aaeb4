/* rig_faults.c - programs that die at an exact point or whose system calls fail, by libfaults.so;
 * and a look into what they left on record. See rig.h and faults.h. */
#include "rig_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "faults.h"

static char *sanitizer; /* ASAN_OPTIONS as they were, while something is faulty */
static const uint64_t *counts;

/* The program maps the file while it runs; so do we. */
static void share_counts(void)
{
	size_t size = FAULT_CALLS_N * sizeof(uint64_t);
	const char *path = rig_path("fault.counts");
	LW_AUTO(lw_close) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		rig_fail(__FILE__, __LINE__, "cannot share '%s': %s", path, strerror(errno));
	counts = map;
	setenv(FAULT_COUNTS, path, 1);
}

void rig_fault(const char *format, ...)
{
	const char *before = getenv("ASAN_OPTIONS");
	char text[256];
	va_list args;

	rig_no_fault();
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)unlink(rig_path("fault"));
	share_counts();
	setenv(FAULT_VARIABLE, text[0] != '\0' ? text : "lw-supervisor before any - 0 die", 1);
	setenv(FAULT_ONCE, rig_path("fault"), 1);
	setenv("LD_PRELOAD", LW_FAULTS, 1);
	/* The sanitizer insists on being first, and need not be. */
	sanitizer = lw_strdup(before != NULL ? before : "");
	setenv("ASAN_OPTIONS", rig_format("%s:verify_asan_link_order=0", sanitizer), 1);
}

void rig_no_fault(void)
{
	if (sanitizer == NULL)
		return;
	setenv("ASAN_OPTIONS", sanitizer, 1);
	lw_free(sanitizer);
	sanitizer = NULL;
	unsetenv("LD_PRELOAD");
	unsetenv(FAULT_VARIABLE);
	unsetenv(FAULT_ONCE);
	unsetenv(FAULT_COUNTS);
	munmap((void *)(uintptr_t)counts, FAULT_CALLS_N * sizeof(uint64_t));
	counts = NULL;
}

bool rig_fault_happened(void)
{
	return access(rig_path("fault"), F_OK) == 0;
}

uint64_t rig_fault_calls(unsigned call)
{
	CHECK(counts != NULL && call < FAULT_CALLS_N);
	return __atomic_load_n(&counts[call], __ATOMIC_RELAXED);
}

/* ---- the record ---------------------------------------------------------------------------------- */

int64_t rig_record(const char *sql)
{
	const char *path = rig_path(".lw/app.conf/journal.db");
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;
	int64_t number = 0;
	int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	else if (code != SQLITE_DONE)
		rig_fail(__FILE__, __LINE__, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return number;
}
