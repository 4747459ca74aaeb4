/* events.c - a ring of what has happened lately, and its readers. See events.h. */
#include "events.h"

struct events {
	struct loop *loop;
	struct event *ring; /* by number, modulo EVENTS_KEPT */
	uint64_t last;
	struct event_reader *readers;
	size_t reader_count;
	struct loop_task tell;
};

const char *event_what_name(enum event_what what)
{
	static const char *const names[EVENT_WHATS] = { "stage", "state", "reload", "pause",
							"journal" };

	return names[what];
}

static void on_tell(struct loop_task *task)
{
	struct events *events = LW_OWNER(task, struct events, tell);
	struct event_reader *next;

	for (struct event_reader *reader = events->readers; reader != NULL; reader = next) {
		next = reader->next;
		reader->ready(reader);
	}
}

struct events *events_new(struct loop *loop)
{
	struct events *events = LW_NEW(struct events);

	events->loop = loop;
	events->ring = lw_alloc(EVENTS_KEPT * sizeof(*events->ring));
	events->tell.run = on_tell;
	return events;
}

void events_free(struct events *events)
{
	if (events == NULL)
		return;
	loop_cancel(events->loop, &events->tell);
	lw_free(events->ring);
	lw_free(events);
}

void events_note(struct events *events, const struct event *event)
{
	struct event *kept = &events->ring[++events->last % EVENTS_KEPT];

	*kept = *event;
	kept->at = loop_wall(events->loop);
	if (events->readers != NULL)
		loop_post(events->loop, LOOP_LATE, &events->tell);
}

uint64_t events_last(const struct events *events)
{
	return events->last;
}

void events_join(struct events *events, struct event_reader *reader)
{
	reader->next = events->readers;
	reader->link = &events->readers;
	if (reader->next != NULL)
		reader->next->link = &reader->next;
	events->readers = reader;
	events->reader_count++;
}

void events_leave(struct events *events, struct event_reader *reader)
{
	*reader->link = reader->next;
	if (reader->next != NULL)
		reader->next->link = reader->link;
	events->reader_count--;
}

size_t events_readers(const struct events *events)
{
	return events->reader_count;
}

int events_next(const struct events *events, struct event_reader *reader,
		const struct event **ret_event, uint64_t *ret_missed)
{
	*ret_missed = 0;
	if (reader->seq == events->last)
		return 0;
	if (events->last - reader->seq > EVENTS_KEPT) {
		*ret_missed = events->last - reader->seq;
		reader->seq = events->last;
		return 0;
	}
	*ret_event = &events->ring[++reader->seq % EVENTS_KEPT];
	return 1;
}
