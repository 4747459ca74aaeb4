/* lw_base.h - what every file stands on: attributes, ownership, memory.
 *
 * Memory: lw_alloc() and its kin never return NULL. When the system has no
 * memory left the process says so and ends (lw_fatal): a supervisor that ends
 * loses nothing, its works go on and are adopted by the next one. Sizes that
 * come from a peer are bounded before anything is allocated.
 */
#ifndef LW_BASE_H
#define LW_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define LW_MUST_USE              __attribute__((warn_unused_result))
#define LW_UNUSED                __attribute__((unused))
#define LW_NORETURN              __attribute__((noreturn))
#define LW_PRINTF(string, first) __attribute__((__format__(__printf__, string, first)))

#define LW_COUNT(array)          (sizeof(array) / sizeof((array)[0]))

/* The struct of which `member` at `pointer` is a part. */
#define LW_OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Frees a local on every way out of its scope:
 *     LW_AUTO(config_free) struct config *config = config_new();
 * A destructor joins with LW_AUTO_DEFINE(struct config *, config_free) beside
 * its declaration. LW_TAKE hands the object over: the local is NULL after it. */
#define LW_AUTO(destroy) __attribute__((cleanup(destroy##_auto)))
#define LW_AUTO_DEFINE(type, destroy)                                                              \
	static inline LW_UNUSED void destroy##_auto(type *local)                                   \
	{                                                                                          \
		destroy(*local);                                                                   \
	}
#define LW_TAKE(local)                                                                             \
	__extension__({                                                                            \
		__typeof__(local) lw_taken_ = (local);                                             \
		(local) = NULL;                                                                    \
		lw_taken_;                                                                         \
	})

/* Bytes that belong to somebody else. */
struct lw_slice {
	const uint8_t *data;
	size_t size;
};

/* Behind its last byte; NULL of nothing. */
static inline const uint8_t *lw_slice_end(struct lw_slice slice)
{
	return slice.size > 0 ? slice.data + slice.size : slice.data;
}

void *lw_alloc(size_t size);                              /* zeroed */
void *lw_realloc(void *block, size_t size);               /* the new part is not zeroed */
char *lw_strdup(const char *text);                        /* NULL stays NULL */
char *lw_strndup(const void *text, size_t size);          /* always ends in NUL */
char *lw_format(const char *format, ...) LW_PRINTF(1, 2); /* caller frees */

#define LW_NEW(type) ((type *)lw_alloc(sizeof(type)))

/* LW_AUTO(lw_free) char *text; LW_AUTO(lw_close) int fd; both keep errno. */
void lw_free(void *block);
static inline LW_UNUSED void lw_free_auto(void *local)
{
	lw_free(*(void **)local);
}
void lw_close(int fd); /* -1 is welcome */
static inline LW_UNUSED void lw_close_auto(int *local)
{
	lw_close(*local);
}

/* Where to cut `text` so that at most `most` bytes stay and no UTF-8 sequence is torn. */
size_t lw_utf8_cut(const void *text, size_t size, size_t most);

/* For start-up and for invariants we broke ourselves: logs and exits with 1. */
LW_NORETURN void lw_fatal(const char *format, ...) LW_PRINTF(1, 2);

#endif
