/* events.h - what has happened lately: numbered, compact, for whoever follows it.
 *
 * Owned by the app. Written where a run moves, a work or the app changes; without readers that
 * costs one store. The last EVENTS_KEPT are there for readers that are late, or come again; a
 * reader keeps a place of its own and is told once a turn that there is more. Texts are not kept:
 * who renders an event (api_events.c) asks for them.
 */
#ifndef LW_SUPERVISOR_EVENTS_H
#define LW_SUPERVISOR_EVENTS_H

#include "lw_base.h"
#include "loop.h"

#define EVENTS_KEPT ((uint64_t)1 << 14) /* a power of two */

struct events;

enum event_kind { EVENT_RUN, EVENT_WORK, EVENT_APP };
/* What of the app has changed. */
enum event_what { EVENT_STAGE, EVENT_STATE, EVENT_RELOAD, EVENT_PAUSE, EVENT_JOURNAL, EVENT_WHATS };
const char *event_what_name(enum event_what what);

struct event {
	int64_t at;    /* microseconds since 1970 */
	uint64_t run;  /* its id; of EVENT_RUN */
	uint32_t work; /* its row; of EVENT_RUN and EVENT_WORK */
	uint8_t kind;  /* enum event_kind */
	uint8_t stage; /* enum stage, or enum app_stage; as it was then */
	uint8_t what;  /* enum event_what; of EVENT_APP */
};

/* Embedded in its owner. */
struct event_reader {
	void (*ready)(struct event_reader *reader); /* there is more: events_next() */
	uint64_t seq;                               /* of the last event it has */
	struct event_reader *next, **link;
};

struct events *events_new(struct loop *loop);
void events_free(struct events *events); /* NULL is welcome */

void events_note(struct events *events, const struct event *event); /* `at` is filled in */
uint64_t events_last(const struct events *events); /* number of the latest; 0: none */

/* Goes on behind reader->seq. */
void events_join(struct events *events, struct event_reader *reader);
void events_leave(struct events *events, struct event_reader *reader);
size_t events_readers(const struct events *events);
/* 1 and the next event, whose number is reader->seq then; 0: there is none. When it is not there any
 * more: 0 and how many are missed, and the reader goes on behind the latest. */
int events_next(const struct events *events, struct event_reader *reader,
		const struct event **ret_event, uint64_t *ret_missed);

#endif
