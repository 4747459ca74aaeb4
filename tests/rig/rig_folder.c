/* rig_folder.c - the fresh folder of a test: files, gates, copies of examples. See rig.h. */
#include "rig_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATES_MAX 8

static char folder[64];
static struct {
	const char *name;
	int fd;
} gates[GATES_MAX];
static size_t gate_count;

const char *rig_folder(void)
{
	if (folder[0] == '\0') {
		strcpy(folder, "/tmp/lw-rig-XXXXXX");
		if (mkdtemp(folder) == NULL)
			lw_fatal("cannot make '%s': %s", folder, strerror(errno));
	}
	return folder;
}

const char *rig_path(const char *name)
{
	return rig_format("%s/%s", rig_folder(), name);
}

void rig_write(const char *name, const char *text)
{
	FILE *file = fopen(rig_path(name), "we");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		rig_fail(__FILE__, __LINE__, "cannot write '%s': %s", name, strerror(errno));
}

/* The whole of an open file, kept. */
static char *slurp(int fd, size_t *ret_size)
{
	size_t size = 0, room = 4096;
	char *text = lw_alloc(room);
	ssize_t n;

	while ((n = read(fd, text + size, room - size - 1)) > 0) {
		size += (size_t)n;
		if (room - size < 2)
			text = lw_realloc(text, room *= 2);
	}
	text[size] = '\0';
	*ret_size = size;
	return rig_keep(text);
}

const char *rig_read(const char *name)
{
	const char *path = name[0] == '/' ? name : rig_path(name);
	LW_AUTO(lw_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size;

	return fd < 0 ? NULL : slurp(fd, &size);
}

static void copy(const char *from, const char *to, mode_t mode)
{
	LW_AUTO(lw_close) int in = open(from, O_RDONLY | O_CLOEXEC);
	LW_AUTO(lw_close) int out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	size_t size = 0;
	const char *text = in < 0 ? "" : slurp(in, &size);

	if (in < 0 || out < 0 || write(out, text, size) != (ssize_t)size)
		rig_fail(__FILE__, __LINE__, "cannot copy '%s': %s", from, strerror(errno));
}

void rig_example(const char *name)
{
	const char *from = rig_format("%s/examples/%s", LW_SOURCE, name);
	DIR *dir = opendir(from);
	const struct dirent *entry;
	struct stat info;

	if (dir == NULL)
		rig_fail(__FILE__, __LINE__, "no example '%s'", name);
	while ((entry = readdir(dir)) != NULL) {
		const char *path = rig_format("%s/%s", from, entry->d_name);

		if (stat(path, &info) == 0 && S_ISREG(info.st_mode))
			copy(path, rig_path(entry->d_name), info.st_mode & 0777);
	}
	closedir(dir);
}

static const char *preload; /* the library that fakes time, or NULL */

const char *rig_preload(void)
{
	return preload;
}

void rig_set_time(const char *time)
{
	rig_write("now.new", rig_format("%s\n", time));
	CHECK_INT(rename(rig_path("now.new"), rig_path("now")), 0);
}

void rig_fake_time(const char *time)
{
	static const char *const places[] = {
		"/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
		"/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
		"/usr/lib/faketime/libfaketime.so.1",
	};
	const char *options = getenv("ASAN_OPTIONS");

	for (size_t i = 0; i < LW_COUNT(places) && preload == NULL; i++)
		if (access(places[i], R_OK) == 0)
			preload = places[i];
	CHECK(preload != NULL);
	rig_set_time(time);
	setenv("ASAN_OPTIONS",
	       rig_format("%s:verify_asan_link_order=0", options == NULL ? "" : options), 1);
	setenv("FAKETIME_TIMESTAMP_FILE", rig_path("now"), 1);
	setenv("FAKETIME_NO_CACHE", "1", 1);
	setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
}

void rig_gate(const char *name)
{
	const char *path = rig_path(name);

	if (gate_count == GATES_MAX || mkfifo(path, 0600) < 0)
		rig_fail(__FILE__, __LINE__, "cannot make gate '%s'", name);
	gates[gate_count].name = name;
	gates[gate_count].fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(gates[gate_count].fd >= 0);
	gate_count++;
}

void rig_open_gate(const char *name, size_t times)
{
	for (size_t i = 0; i < gate_count; i++) {
		if (strcmp(gates[i].name, name) != 0)
			continue;
		while (times-- > 0)
			CHECK(write(gates[i].fd, "!", 1) == 1);
		return;
	}
	rig_fail(__FILE__, __LINE__, "no gate '%s'", name);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info;
	(void)type;
	(void)walk;
	return remove(path);
}

void rig_folder_end(void)
{
	while (gate_count > 0)
		lw_close(gates[--gate_count].fd);
	if (folder[0] != '\0')
		nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	folder[0] = '\0';
}
