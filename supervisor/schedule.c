/* schedule.c - cron fields to the next time, marks that are true, one timer. See schedule.h. */
#include "schedule.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "lw_log.h"

#define DAY   86400
#define YEARS 41 /* after which a mark comes never: 29 February on a Sunday takes 40 */
/* A record further ahead than that is no repeated hour but a clock that was wrong. */
#define AHEAD     (25 * 3600)
#define EARLY_US  1000000 /* to wait when the timer's clock and ours disagree */
#define FIELDS    5
#define MARK_SIZE 256

/* ---- reading a mark ------------------------------------------------------------------------ */

struct field {
	const char *name;
	unsigned low, high;
	const char *names; /* of three letters each, the first stands for `low` */
};

static const struct field fields[FIELDS] = {
	{ "minute", 0, 59, "" },
	{ "hour", 0, 23, "" },
	{ "day", 1, 31, "" },
	{ "month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
	{ "weekday", 0, 7, "sunmontuewedthufrisat" },
};

static const struct {
	const char *name, *fields;
} named[] = {
	{ "hourly", "0 * * * *" },  { "daily", "0 0 * * *" },  { "weekly", "0 0 * * 0" },
	{ "monthly", "0 0 1 * *" }, { "yearly", "0 0 1 1 *" },
};

/* What is being read: at `text`, up to `end`. */
struct reader {
	const char *text, *end;
	const struct field *field;
};

static bool read_number(struct reader *reader, unsigned *ret_number)
{
	unsigned number = 0, digits = 0;

	for (; reader->text < reader->end && isdigit((unsigned char)*reader->text); digits++)
		if (digits < 4)
			number = number * 10 + (unsigned)(*reader->text++ - '0');
		else
			return false;
	*ret_number = number;
	return digits > 0;
}

static bool read_value(struct reader *reader, unsigned *ret_value)
{
	const struct field *field = reader->field;

	if (reader->end - reader->text >= 3) {
		for (unsigned i = 0; field->names[i] != '\0'; i += 3) {
			if (strncasecmp(field->names + i, reader->text, 3) == 0) {
				reader->text += 3;
				*ret_value = field->low + i / 3;
				return true;
			}
		}
	}
	return read_number(reader, ret_value) && *ret_value >= field->low &&
	       *ret_value <= field->high;
}

static bool read_char(struct reader *reader, char wanted)
{
	if (reader->text == reader->end || *reader->text != wanted)
		return false;
	reader->text++;
	return true;
}

/* From, to and step of one item of a list: "*", "5", "1-5", each with "/2". */
static bool read_item(struct reader *reader, uint64_t *bits)
{
	unsigned low = reader->field->low, high = reader->field->high, step = 1;
	bool star = read_char(reader, '*'), one = false;

	if (!star) {
		if (!read_value(reader, &low))
			return false;
		one = !read_char(reader, '-');
		if (!one && !read_value(reader, &high))
			return false;
	}
	if (read_char(reader, '/')) {
		if (!read_number(reader, &step) || step == 0)
			return false;
	} else if (one) {
		high = low;
	}
	if (high == 0 && low > 0 && reader->field->high == 7)
		high = 7; /* fri-sun */
	if (low > high)
		return false;
	for (unsigned value = low; value <= high; value += step)
		*bits |= UINT64_C(1) << value;
	return true;
}

static bool read_list(struct reader *reader, uint64_t *bits)
{
	*bits = 0;
	do {
		if (!read_item(reader, bits))
			return false;
	} while (read_char(reader, ','));
	return reader->text == reader->end;
}

static const char *fields_of(const char *mark)
{
	for (size_t i = 0; i < LW_COUNT(named); i++)
		if (strcmp(named[i].name, mark) == 0)
			return named[i].fields;
	return mark;
}

static int not_a_mark(const char *mark, struct lw_err *err)
{
	return lw_err_set(err, -EINVAL,
			  "mark '%s' is neither hourly, daily, weekly, monthly, yearly nor "
			  "five cron fields",
			  mark);
}

static void settle(const uint64_t bits[FIELDS], const bool stars[FIELDS], struct cron *cron)
{
	*cron = (struct cron){
		.minutes = bits[0],
		.hours = (uint32_t)bits[1],
		.days = (uint32_t)bits[2],
		.months = (uint32_t)bits[3],
		.weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7f),
		.any_day = stars[2],
		.any_weekday = stars[4],
	};
}

int cron_parse(const char *mark, struct cron *ret_cron, struct lw_err *err)
{
	const char *text = fields_of(mark);
	uint64_t bits[FIELDS];
	bool stars[FIELDS];

	for (size_t i = 0; i < FIELDS; i++) {
		struct reader reader = { .field = &fields[i] };

		text += strspn(text, " \t");
		reader.text = text;
		text += strcspn(text, " \t");
		reader.end = text;
		if (reader.text == reader.end)
			return not_a_mark(mark, err);
		stars[i] = *reader.text == '*';
		if (!read_list(&reader, &bits[i])) {
			if (i == 0 && *text == '\0')
				return not_a_mark(mark, err); /* a word */
			return lw_err_set(err, -EINVAL,
					  "mark '%s': the %s has to be %u to %u, a range, list or "
					  "step of these, or *",
					  mark, fields[i].name, fields[i].low, fields[i].high);
		}
	}
	if (text[strspn(text, " \t")] != '\0')
		return not_a_mark(mark, err);
	settle(bits, stars, ret_cron);
	return 0;
}

/* ---- the calendar --------------------------------------------------------------------------- */

/* A minute as a calendar on the wall shows it. */
struct wall {
	int year, month, day, hour, minute; /* month and day from 1 */
};

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* 0 is Sunday. */
static int weekday_of(const struct wall *wall)
{
	static const int shift[] = { 0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4 };
	int year = wall->year - (wall->month < 3);

	return (year + year / 4 - year / 100 + year / 400 + shift[wall->month - 1] + wall->day) % 7;
}

static bool has_bit(uint64_t bits, int bit)
{
	return (bits >> bit & 1) != 0;
}

static bool day_matches(const struct cron *cron, const struct wall *wall)
{
	bool day = has_bit(cron->days, wall->day);
	bool weekday = has_bit(cron->weekdays, weekday_of(wall));

	return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

static void next_month(struct wall *wall)
{
	*wall = (struct wall){ wall->year + (wall->month == 12), wall->month % 12 + 1, 1, 0, 0 };
}

static void next_day(struct wall *wall)
{
	if (wall->day == days_in(wall->year, wall->month))
		next_month(wall);
	else
		*wall = (struct wall){ wall->year, wall->month, wall->day + 1, 0, 0 };
}

static void next_hour(struct wall *wall)
{
	wall->minute = 0;
	if (++wall->hour == 24)
		next_day(wall);
}

static void next_minute(struct wall *wall)
{
	if (++wall->minute == 60)
		next_hour(wall);
}

/* The first minute at `wall` or later that matches; false: none before that year. */
static bool find_match(const struct cron *cron, struct wall *wall, int before)
{
	while (wall->year < before) {
		if (!has_bit(cron->months, wall->month))
			next_month(wall);
		else if (!day_matches(cron, wall))
			next_day(wall);
		else if (!has_bit(cron->hours, wall->hour))
			next_hour(wall);
		else if (!has_bit(cron->minutes, wall->minute))
			next_minute(wall);
		else
			return true;
	}
	return false;
}

static long offset_at(time_t at)
{
	struct tm tm;

	return localtime_r(&at, &tm) == NULL ? 0 : tm.tm_gmtoff;
}

/* When the clocks changed, between `low` (before) and `high` (after). */
static time_t change_between(time_t low, time_t high)
{
	long before = offset_at(low);

	while (high - low > 1) {
		time_t middle = low + (high - low) / 2;

		if (offset_at(middle) == before)
			low = middle;
		else
			high = middle;
	}
	return high;
}

/* The instant at which a wall clock shows this: the first one if there are two, and the
 * next valid minute if there is none. */
static time_t instant_of(const struct wall *wall)
{
	struct tm tm = { .tm_year = wall->year - 1900,
			 .tm_mon = wall->month - 1,
			 .tm_mday = wall->day,
			 .tm_hour = wall->hour,
			 .tm_min = wall->minute };
	time_t shown = timegm(&tm); /* as if local time were UTC */
	long before = offset_at(shown - DAY), after = offset_at(shown + DAY);
	time_t first = shown - (before > after ? before : after);
	time_t second = shown - (before > after ? after : before);

	if (offset_at(first) == shown - first)
		return first;
	if (offset_at(second) == shown - second)
		return second;
	return change_between(first, second);
}

time_t cron_next(const struct cron *cron, time_t after)
{
	struct wall wall;
	struct tm tm;
	int last;

	if (localtime_r(&after, &tm) == NULL)
		return -1;
	wall = (struct wall){ tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min };
	last = wall.year + YEARS;
	/* What matches in the second of two equal hours has been in the first one. */
	for (next_minute(&wall); find_match(cron, &wall, last); next_minute(&wall)) {
		time_t at = instant_of(&wall);

		if (at > after)
			return at;
	}
	return -1;
}

/* The latest match up to `until` and later than `after`, of which there is one at `known`. */
static time_t latest_until(const struct cron *cron, time_t after, time_t known, time_t until)
{
	static const time_t backs[] = { 3600, DAY, 32 * DAY, 367 * DAY };

	for (size_t i = 0; i < LW_COUNT(backs) && until - backs[i] > after; i++) {
		time_t at = cron_next(cron, until - backs[i]);

		if (at >= 0 && at <= until) {
			known = at;
			break;
		}
	}
	for (time_t at = known; at >= 0 && at <= until; at = cron_next(cron, at))
		known = at;
	return known;
}

/* ---- marks ------------------------------------------------------------------------------------ */

struct mark {
	char *text;
	struct cron cron;
	time_t recorded; /* or when it was asked for the first time */
	time_t next;     /* after `recorded`; -1: never */
	time_t due;      /* it is true, and this is its time; 0: it is not */
	uint64_t pass;   /* in which it was asked for last */
	bool asked;      /* since the start: only then it has a timer */
	bool told;       /* `next` has come and `fired` was called */
	bool noted;      /* somebody has recorded it, or when it began */
};

struct schedule {
	struct loop *loop;
	void (*fired)(void *context);
	void *context;
	struct mark *marks;
	size_t count, room;
	uint64_t pass;
	time_t now; /* of this pass; 0: not asked for */
	int timer;
	struct event *event;
	struct loop_timer again;
	time_t armed; /* 0: not */
};

static time_t wall_now(struct schedule *schedule)
{
	return (time_t)(loop_wall(schedule->loop) / 1000000);
}

static void arm(struct schedule *schedule)
{
	struct itimerspec when = { .it_value = { .tv_sec = 0 } };
	time_t nearest = 0;

	for (size_t i = 0; i < schedule->count; i++) {
		const struct mark *mark = &schedule->marks[i];

		if (mark->asked && mark->due == 0 && !mark->told && mark->next > 0 &&
		    (nearest == 0 || mark->next < nearest))
			nearest = mark->next;
	}
	if (nearest == schedule->armed)
		return;
	schedule->armed = nearest;
	loop_timer_stop(&schedule->again);
	when.it_value.tv_sec = nearest;
	if (timerfd_settime(schedule->timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when,
			    NULL) < 0)
		lw_fatal("cannot set the timer of the schedule: %s", strerror(errno));
}

static void on_again(struct loop_timer *timer)
{
	arm(LW_OWNER(timer, struct schedule, again));
}

/* Says which marks' time has come; true when there is one. */
static bool tell(struct schedule *schedule)
{
	time_t now = wall_now(schedule);
	bool any = false;

	for (size_t i = 0; i < schedule->count; i++) {
		struct mark *mark = &schedule->marks[i];

		if (mark->asked && mark->due == 0 && !mark->told && mark->next > 0 &&
		    mark->next <= now)
			any = mark->told = true;
	}
	if (any)
		schedule->fired(schedule->context);
	return any;
}

static void on_time(evutil_socket_t fd, short what, void *context)
{
	struct schedule *schedule = context;
	uint64_t times;
	bool stepped = false;

	(void)what;
	if (read(fd, &times, sizeof(times)) < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		if (errno != ECANCELED)
			lw_fatal("cannot read the timer of the schedule: %s", strerror(errno));
		stepped = true;
		lw_log(LW_LOG_INFO, "schedule=clock-stepped");
	}
	schedule->armed = 0;
	if (tell(schedule) || stepped)
		arm(schedule);
	else
		loop_timer_set(&schedule->again, EARLY_US);
}

static struct mark *find(struct schedule *schedule, const char *text)
{
	for (size_t i = 0; i < schedule->count; i++)
		if (strcmp(schedule->marks[i].text, text) == 0)
			return &schedule->marks[i];
	return NULL;
}

static void record(struct mark *mark, time_t at)
{
	mark->recorded = at;
	mark->next = cron_next(&mark->cron, at);
	mark->due = 0;
	mark->told = false;
}

static int add(struct schedule *schedule, const char *text, time_t at, struct mark **ret_mark,
	       struct lw_err *err)
{
	struct mark *mark;
	struct cron cron;
	int r;

	if (strlen(text) > MARK_SIZE)
		return lw_err_set(err, -EINVAL, "a mark is longer than %d bytes", MARK_SIZE);
	r = cron_parse(text, &cron, err);
	if (r < 0)
		return r;
	if (schedule->count == schedule->room) {
		schedule->room = schedule->room * 2 + 4;
		schedule->marks =
			lw_realloc(schedule->marks, schedule->room * sizeof(*schedule->marks));
	}
	mark = &schedule->marks[schedule->count++];
	*mark = (struct mark){ .text = lw_strdup(text), .cron = cron };
	record(mark, at);
	*ret_mark = mark;
	return 0;
}

/* The first question in a pass decides for the whole of it. A mark that is true keeps its
 * time until it is recorded, so that the calls made with it stay the same. */
static void decide(struct schedule *schedule, struct mark *mark)
{
	time_t now = schedule->now;

	if (mark->pass == schedule->pass)
		return;
	mark->pass = schedule->pass;
	mark->asked = true;
	if (mark->recorded > now + AHEAD)
		record(mark, now);
	if (mark->due == 0 && mark->next > 0 && mark->next <= now)
		mark->due = latest_until(&mark->cron, mark->recorded, mark->next, now);
	if (mark->due == 0)
		mark->told = false; /* the clock went back */
	arm(schedule);
}

int schedule_ask(struct schedule *schedule, const char *text, char ret_text[32], struct lw_err *err)
{
	struct mark *mark = find(schedule, text);
	struct tm tm;
	int r;

	if (schedule->now == 0)
		schedule->now = wall_now(schedule);
	if (mark == NULL) {
		r = add(schedule, text, schedule->now, &mark, err);
		if (r < 0)
			return r;
	}
	decide(schedule, mark);
	if (mark->due == 0)
		return 0;
	if (localtime_r(&mark->due, &tm) == NULL ||
	    strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%S%z", &tm) == 0)
		return lw_err_set(err, -EINVAL, "mark '%s': its time cannot be written", text);
	return 1;
}

void schedule_pass_begins(struct schedule *schedule)
{
	schedule->pass++;
	schedule->now = 0;
}

void schedule_pass_ended(struct schedule *schedule,
			 void (*recorded)(void *context, const char *mark, time_t at))
{
	for (size_t i = 0; i < schedule->count; i++) {
		struct mark *mark = &schedule->marks[i];

		if (mark->pass != schedule->pass || (mark->due == 0 && mark->noted))
			continue;
		if (mark->due != 0)
			record(mark, mark->due);
		mark->noted = true;
		recorded(schedule->context, mark->text, mark->recorded);
	}
	arm(schedule);
}

/* What a mark was recorded at is one of its times, unless it only began then. */
static bool is_a_time_of(const struct mark *mark, time_t at)
{
	return cron_next(&mark->cron, at - 1) == at;
}

bool schedule_each(const struct schedule *schedule, size_t *at, struct schedule_mark *ret_mark)
{
	while (*at < schedule->count) {
		const struct mark *mark = &schedule->marks[(*at)++];

		if (!mark->asked)
			continue;
		ret_mark->mark = mark->text;
		ret_mark->next = mark->due != 0 ? mark->due : mark->next > 0 ? mark->next : 0;
		ret_mark->last = is_a_time_of(mark, mark->recorded) ? mark->recorded : 0;
		return true;
	}
	return false;
}

void schedule_restore(struct schedule *schedule, const char *text, time_t at)
{
	struct mark *mark = find(schedule, text);
	struct lw_err err = { 0 };

	if (mark != NULL)
		record(mark, at);
	else if (add(schedule, text, at, &mark, &err) < 0)
		lw_log(LW_LOG_WARNING, "schedule=not-restored error=\"%s\"", err.text);
	if (mark != NULL)
		mark->noted = true;
	arm(schedule);
}

LW_AUTO_DEFINE(struct schedule *, schedule_free)

int schedule_new(struct loop *loop, void (*fired)(void *context), void *context,
		 struct schedule **ret_schedule, struct lw_err *err)
{
	LW_AUTO(schedule_free) struct schedule *schedule = LW_NEW(struct schedule);

	tzset();
	schedule->loop = loop;
	schedule->fired = fired;
	schedule->context = context;
	schedule->pass = 1;
	loop_timer_init(&schedule->again, loop, on_again);
	schedule->timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (schedule->timer < 0)
		return lw_err_sys(err, -errno, "cannot make a timer");
	schedule->event = event_new(loop_base(loop), schedule->timer, EV_READ | EV_PERSIST, on_time,
				    schedule);
	if (schedule->event == NULL || event_add(schedule->event, NULL) < 0)
		return lw_err_set(err, -ENOMEM, "cannot wait for a timer");
	*ret_schedule = LW_TAKE(schedule);
	return 0;
}

void schedule_free(struct schedule *schedule)
{
	int saved = errno;

	if (schedule == NULL)
		return;
	loop_timer_done(&schedule->again);
	if (schedule->event != NULL)
		event_free(schedule->event);
	lw_close(schedule->timer);
	for (size_t i = 0; i < schedule->count; i++)
		lw_free(schedule->marks[i].text);
	lw_free(schedule->marks);
	lw_free(schedule);
	errno = saved;
}
