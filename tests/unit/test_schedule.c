/* links: lw_supervisor */
/* test_schedule.c - the calendar over changes of the clocks; marks; the real timer.
 *
 * The wall clock is the real one plus `offset`, here and in the timer, so that a mark's time
 * comes after milliseconds.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "schedule.h"

static int64_t offset; /* nanoseconds, of our wall clock before the real one */
static int timer_fd = -1;
static int settings;        /* of the timer */
static bool armed, stepped; /* the next read of it says that the clock was set */

#define SECOND INT64_C(1000000000)

static void move(struct timespec *at, int64_t by)
{
	int64_t ns = (int64_t)at->tv_sec * SECOND + at->tv_nsec + by;

	at->tv_sec = ns / SECOND;
	at->tv_nsec = ns % SECOND;
}

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	long r = syscall(SYS_clock_gettime, clock, ret_now);

	if (clock == CLOCK_REALTIME)
		move(ret_now, offset);
	return (int)r;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
	struct itimerspec real = *when;

	cr_assert_eq(flags, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	armed = when->it_value.tv_sec != 0;
	if (armed)
		move(&real.it_value, -offset);
	timer_fd = fd;
	settings++;
	return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}

ssize_t read(int fd, void *bytes, size_t size)
{
	ssize_t r = syscall(SYS_read, fd, bytes, size);

	if (fd == timer_fd && stepped) {
		stepped = false;
		errno = ECANCELED;
		return -1;
	}
	return r;
}

/* ---- the calendar ------------------------------------------------------------------------- */

static void in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void utc(void)
{
	in_zone("UTC");
}

TestSuite(cron, .init = utc, .timeout = 30);

/* "2026-03-29 01:59:00 +0100", the offset as a check that the zone is known. */
static time_t at(const char *text)
{
	struct tm tm = { 0 };
	int zone;
	time_t result;

	cr_assert_eq(sscanf(text, "%d-%d-%d %d:%d:%d %d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
			    &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &zone),
		     7);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	result = timegm(&tm) - (zone / 100 * 3600 + zone % 100 * 60);
	return result;
}

static const char *show(time_t time)
{
	static char text[64];
	struct tm tm;

	if (time == -1)
		return "never";
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", localtime_r(&time, &tm));
	return text;
}

static void expect_next(const char *mark, const char *after, const char *expected)
{
	struct lw_err err = { 0 };
	struct cron cron;
	time_t next;

	cr_assert_eq(cron_parse(mark, &cron, &err), 0, "%s", err.text);
	next = cron_next(&cron, at(after));
	cr_assert_str_eq(show(next), expected, "%s after %s: %s", mark, after, show(next));
}

/* The times of a mark, one after the other. */
static void expect_times(const char *mark, const char *after, const char *const expected[])
{
	struct lw_err err = { 0 };
	time_t time = at(after);
	struct cron cron;

	cr_assert_eq(cron_parse(mark, &cron, &err), 0, "%s", err.text);
	for (size_t i = 0; expected[i] != NULL; i++) {
		time = cron_next(&cron, time);
		cr_assert_str_eq(show(time), expected[i], "%s, number %zu", mark, i);
	}
}
#define TIMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

Test(cron, the_named_marks_are_hourly_to_yearly)
{
	const char *now = "2026-11-23 10:20:30 +0000"; /* a Monday */

	expect_next("hourly", now, "2026-11-23 11:00:00 +0000");
	expect_next("daily", now, "2026-11-24 00:00:00 +0000");
	expect_next("weekly", now, "2026-11-29 00:00:00 +0000");
	expect_next("monthly", now, "2026-12-01 00:00:00 +0000");
	expect_next("yearly", now, "2027-01-01 00:00:00 +0000");
}

Test(cron, the_next_time_is_later_than_now)
{
	expect_next("* * * * *", "2026-11-23 10:20:00 +0000", "2026-11-23 10:21:00 +0000");
	expect_next("* * * * *", "2026-11-23 10:20:59 +0000", "2026-11-23 10:21:00 +0000");
	expect_next("20 10 * * *", "2026-11-23 10:20:00 +0000", "2026-11-24 10:20:00 +0000");
	expect_next("20 10 * * *", "2026-11-23 10:19:59 +0000", "2026-11-23 10:20:00 +0000");
}

Test(cron, fields_have_ranges_lists_steps_and_names)
{
	const char *now = "2026-11-23 10:20:30 +0000";

	expect_times("5,50-52 10 * * *", now,
		     TIMES("2026-11-23 10:50:00 +0000", "2026-11-23 10:51:00 +0000",
			   "2026-11-23 10:52:00 +0000", "2026-11-24 10:05:00 +0000"));
	expect_times("*/25 * * * *", now,
		     TIMES("2026-11-23 10:25:00 +0000", "2026-11-23 10:50:00 +0000",
			   "2026-11-23 11:00:00 +0000"));
	expect_times("0 8-18/4 * * *", now,
		     TIMES("2026-11-23 12:00:00 +0000", "2026-11-23 16:00:00 +0000",
			   "2026-11-24 08:00:00 +0000"));
	expect_times("50/5 * * * *", now,
		     TIMES("2026-11-23 10:50:00 +0000", "2026-11-23 10:55:00 +0000",
			   "2026-11-23 11:50:00 +0000"));
	expect_next("0 0 1 JAN,feb *", now, "2027-01-01 00:00:00 +0000");
	expect_next("\t0  0 * *   Tue ", now, "2026-11-24 00:00:00 +0000");
}

Test(cron, sunday_is_0_and_7_and_sun)
{
	static const char *const sundays[] = { "0 0 * * 0", "0 0 * * 7", "0 0 * * sun" };

	for (size_t i = 0; i < LW_COUNT(sundays); i++)
		expect_next(sundays[i], "2026-11-23 10:20:30 +0000", "2026-11-29 00:00:00 +0000");
	expect_times("0 0 * * fri-sun", "2026-11-23 10:20:30 +0000",
		     TIMES("2026-11-27 00:00:00 +0000", "2026-11-28 00:00:00 +0000",
			   "2026-11-29 00:00:00 +0000", "2026-12-04 00:00:00 +0000"));
	expect_next("0 0 * * 5-7", "2026-11-28 10:20:30 +0000", "2026-11-29 00:00:00 +0000");
}

Test(cron, day_and_weekday_both_restricted_means_either)
{
	expect_times("0 0 25 * wed", "2026-11-23 10:00:00 +0000",
		     TIMES("2026-11-25 00:00:00 +0000", "2026-12-02 00:00:00 +0000",
			   "2026-12-09 00:00:00 +0000", "2026-12-16 00:00:00 +0000",
			   "2026-12-23 00:00:00 +0000", "2026-12-25 00:00:00 +0000"));
	expect_next("0 0 25 * *", "2026-11-26 10:00:00 +0000", "2026-12-25 00:00:00 +0000");
	expect_next("0 0 * * wed", "2026-11-26 10:00:00 +0000", "2026-12-02 00:00:00 +0000");
}

Test(cron, ends_of_months_are_known)
{
	expect_times("0 0 31 * *", "2026-01-30 00:00:00 +0000",
		     TIMES("2026-01-31 00:00:00 +0000", "2026-03-31 00:00:00 +0000",
			   "2026-05-31 00:00:00 +0000", "2026-07-31 00:00:00 +0000"));
	expect_times("59 23 28-31 2 *", "2027-02-28 00:00:00 +0000",
		     TIMES("2027-02-28 23:59:00 +0000", "2028-02-28 23:59:00 +0000",
			   "2028-02-29 23:59:00 +0000"));
	expect_next("0 0 29 2 *", "2096-03-01 00:00:00 +0000", "2104-02-29 00:00:00 +0000");
	expect_next("* * * * *", "2026-12-31 23:59:30 +0000", "2027-01-01 00:00:00 +0000");
}

Test(cron, a_day_that_never_comes_is_never)
{
	expect_next("0 0 30 2 *", "2026-11-23 10:00:00 +0000", "never");
	expect_next("0 0 31 4,6,9,11 *", "2026-11-23 10:00:00 +0000", "never");
}

Test(cron, every_match_is_found_as_a_plain_search_finds_it)
{
	static const char *const marks[] = { "17 3 * * *", "*/7 2-3 29,30 3,10 *", "0 */5 13 * fri",
					     "30 2 * * sun" };
	struct lw_err err = { 0 };

	for (size_t i = 0; i < LW_COUNT(marks); i++) {
		time_t from = at("2028-02-25 00:00:00 +0000"), next;
		struct cron cron;

		cr_assert_eq(cron_parse(marks[i], &cron, &err), 0);
		next = cron_next(&cron, from);
		for (time_t time = from + 60; time < from + 86400 * 300; time += 60) {
			struct tm tm;
			bool day, weekday, matches;

			gmtime_r(&time, &tm);
			day = (cron.days >> tm.tm_mday & 1) != 0;
			weekday = (cron.weekdays >> tm.tm_wday & 1) != 0;
			matches = (cron.minutes >> tm.tm_min & 1) != 0 &&
				  (cron.hours >> tm.tm_hour & 1) != 0 &&
				  (cron.months >> (tm.tm_mon + 1) & 1) != 0 &&
				  (cron.any_day || cron.any_weekday ? day && weekday
								    : day || weekday);
			cr_assert_eq(matches, time == next, "%s at %s", marks[i], show(time));
			if (matches)
				next = cron_next(&cron, next);
		}
	}
}

Test(cron, a_skipped_hour_runs_at_the_next_valid_minute_in_berlin)
{
	in_zone("Europe/Berlin");
	expect_times("30 2 * * *", "2026-03-27 12:00:00 +0100",
		     TIMES("2026-03-28 02:30:00 +0100", "2026-03-29 03:00:00 +0200",
			   "2026-03-30 02:30:00 +0200"));
	expect_times("*/20 1-3 * * *", "2026-03-29 01:39:00 +0100",
		     TIMES("2026-03-29 01:40:00 +0100", "2026-03-29 03:00:00 +0200",
			   "2026-03-29 03:20:00 +0200"));
	expect_times("0 * * * *", "2026-03-29 01:00:00 +0100",
		     TIMES("2026-03-29 03:00:00 +0200", "2026-03-29 04:00:00 +0200"));
}

Test(cron, a_repeated_hour_runs_once_in_berlin)
{
	in_zone("Europe/Berlin");
	expect_times("30 2 * * *", "2026-10-24 12:00:00 +0200",
		     TIMES("2026-10-25 02:30:00 +0200", "2026-10-26 02:30:00 +0100"));
	expect_times("0 * * * *", "2026-10-25 01:30:00 +0200",
		     TIMES("2026-10-25 02:00:00 +0200", "2026-10-25 03:00:00 +0100"));
	/* asked in the second of the two */
	expect_next("30 2 * * *", "2026-10-25 02:10:00 +0100", "2026-10-26 02:30:00 +0100");
	expect_next("0 * * * *", "2026-10-25 02:10:00 +0100", "2026-10-25 03:00:00 +0100");
}

Test(cron, new_york_changes_on_other_days)
{
	in_zone("America/New_York");
	expect_times("15 2 * * *", "2026-03-07 12:00:00 -0500",
		     TIMES("2026-03-08 03:00:00 -0400", "2026-03-09 02:15:00 -0400"));
	expect_times("15 1 * * *", "2026-10-31 12:00:00 -0400",
		     TIMES("2026-11-01 01:15:00 -0400", "2026-11-02 01:15:00 -0500"));
	expect_times("daily", "2026-10-31 12:00:00 -0400",
		     TIMES("2026-11-01 00:00:00 -0400", "2026-11-02 00:00:00 -0500"));
}

Test(cron, half_an_hour_and_a_whole_day_can_be_skipped)
{
	in_zone("Australia/Lord_Howe");
	expect_times("10 2 * * *", "2026-10-03 12:00:00 +1030",
		     TIMES("2026-10-04 02:30:00 +1100", "2026-10-05 02:10:00 +1100"));
	in_zone("Pacific/Apia");
	expect_times("0 12 * * *", "2011-12-29 11:00:00 -1000",
		     TIMES("2011-12-29 12:00:00 -1000", "2011-12-31 00:00:00 +1400",
			   "2011-12-31 12:00:00 +1400"));
}

Test(cron, what_is_no_mark_is_refused_with_a_sentence)
{
	static const struct {
		const char *mark, *sentence;
	} bad[] = {
		{ "dayly",
		  "mark 'dayly' is neither hourly, daily, weekly, monthly, yearly nor five "
		  "cron fields" },
		{ "", "mark '' is neither hourly, daily, weekly, monthly, yearly nor five cron "
		      "fields" },
		{ "* * * *", "mark '* * * *' is neither hourly, daily, weekly, monthly, yearly nor "
			     "five cron fields" },
		{ "* * * * * *", "mark '* * * * * *' is neither hourly, daily, weekly, monthly, "
				 "yearly nor five cron fields" },
		{ "60 * * * *", "mark '60 * * * *': the minute has to be 0 to 59, a range, list or "
				"step of these, or *" },
		{ "0 24 * * *", "mark '0 24 * * *': the hour has to be 0 to 23, a range, list or "
				"step of these, or *" },
	};
	static const char *const others[] = {
		"0 0 0 * *",   "0 0 32 * *",   "0 0 * 13 *", "0 0 * 0 *",   "0 0 * * 8",
		"*/0 * * * *", "5-1 * * * *",  "1, * * * *", ",1 * * * *",  "1- * * * *",
		"1/ * * * *",  "- * * * *",    "x * * * *",  "** * * * *",  "1-2-3 * * * *",
		"-1 * * * *",  "0 0 * janx *", "0 0 * ja *", "0 0 jan * *", "99999999999 * * * *",
	};
	struct cron cron;

	for (size_t i = 0; i < LW_COUNT(bad); i++) {
		struct lw_err err = { 0 };

		cr_assert_eq(cron_parse(bad[i].mark, &cron, &err), -EINVAL);
		cr_assert_str_eq(err.text, bad[i].sentence);
	}
	for (size_t i = 0; i < LW_COUNT(others); i++)
		cr_assert_eq(cron_parse(others[i], &cron, NULL), -EINVAL, "%s", others[i]);
}

/* ---- marks and the timer ---------------------------------------------------------------------- */

static struct loop *loop;
static struct schedule *schedule;
static int fired;
static char recorded[256];

static void on_fired(void *context)
{
	cr_assert_eq(context, &fired);
	fired++;
	loop_exit(loop);
}

static void on_recorded(void *context, const char *mark, time_t time)
{
	size_t size = strlen(recorded);

	cr_assert_eq(context, &fired);
	snprintf(recorded + size, sizeof(recorded) - size, "%s=%s;", mark, show(time));
}

/* The wall clock shows `text` now. */
static void set_clock(const char *text)
{
	struct timespec now;

	cr_assert_eq(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now), 0);
	offset = (int64_t)at(text) * SECOND - ((int64_t)now.tv_sec * SECOND + now.tv_nsec);
}

static void set_up(void)
{
	struct lw_err err = { 0 };

	in_zone("Europe/Berlin");
	cr_assert_eq(loop_new(&loop, &err), 0);
	cr_assert_eq(schedule_new(loop, on_fired, &fired, &schedule, &err), 0);
	set_clock("2026-11-23 10:20:30 +0100");
}

static void tear_down(void)
{
	schedule_free(schedule);
	loop_free(loop);
}

TestSuite(schedule, .init = set_up, .fini = tear_down, .timeout = 30);

static void expect_mark(const char *mark, const char *expected)
{
	struct lw_err err = { 0 };
	char text[32] = "no";

	cr_assert_eq(schedule_ask(schedule, mark, text, &err), strcmp(expected, "no") != 0, "%s",
		     err.text);
	cr_assert_str_eq(text, expected);
}

static void end_pass(const char *expected)
{
	recorded[0] = '\0';
	schedule_pass_ended(schedule, on_recorded);
	cr_assert_str_eq(recorded, expected);
	schedule_pass_begins(schedule);
}

Test(schedule, a_mark_begins_at_now_and_stays_true_until_it_is_recorded)
{
	expect_mark("hourly", "no");
	end_pass(
		"hourly=2026-11-23 10:20:30 +0100;"); /* so that one missed while we are away counts */
	expect_mark("hourly", "no");
	end_pass("");
	set_clock("2026-11-23 11:00:00 +0100");
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
	schedule_pass_begins(schedule); /* the pass ended early */
	set_clock("2026-11-23 12:30:00 +0100");
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
	end_pass("hourly=2026-11-23 11:00:00 +0100;");
	expect_mark("hourly", "2026-11-23T12:00:00+0100");
	end_pass("hourly=2026-11-23 12:00:00 +0100;");
	expect_mark("hourly", "no");
}

Test(schedule, marks_that_were_missed_count_once)
{
	schedule_restore(schedule, "hourly", at("2026-11-20 08:00:00 +0100"));
	schedule_restore(schedule, "*/7 * * * *", at("2025-11-20 08:00:00 +0100"));
	schedule_restore(schedule, "yearly", at("2001-11-20 08:00:00 +0100"));
	schedule_restore(schedule, "0 9 * * *", at("2026-11-20 09:00:00 +0100"));
	expect_mark("hourly", "2026-11-23T10:00:00+0100");
	expect_mark("*/7 * * * *", "2026-11-23T10:14:00+0100");
	expect_mark("yearly", "2026-01-01T00:00:00+0100");
	expect_mark("0 9 * * *", "2026-11-23T09:00:00+0100");
	end_pass("hourly=2026-11-23 10:00:00 +0100;*/7 * * * *=2026-11-23 10:14:00 +0100;"
		 "yearly=2026-01-01 00:00:00 +0100;0 9 * * *=2026-11-23 09:00:00 +0100;");
	expect_mark("hourly", "no");
	expect_mark("yearly", "no");
}

Test(schedule, equal_marks_in_one_pass_agree)
{
	expect_mark("hourly", "no");
	set_clock("2026-11-23 11:00:00 +0100");
	expect_mark("hourly", "no");
	expect_mark("0 * * * *", "no");
	end_pass("hourly=2026-11-23 10:20:30 +0100;0 * * * *=2026-11-23 10:20:30 +0100;");
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
	expect_mark("0 * * * *", "2026-11-23T11:00:00+0100");
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
}

Test(schedule, only_what_was_asked_for_in_the_pass_is_recorded)
{
	schedule_restore(schedule, "hourly", at("2026-11-20 08:00:00 +0100"));
	expect_mark("hourly", "2026-11-23T10:00:00+0100");
	schedule_pass_begins(schedule);
	end_pass("");
	expect_mark("hourly", "2026-11-23T10:00:00+0100");
}

Test(schedule, a_bad_mark_is_an_error_and_leaves_nothing)
{
	struct lw_err err = { 0 };
	char text[32];

	cr_assert_eq(schedule_ask(schedule, "dayly", text, &err), -EINVAL);
	cr_assert_not_null(strstr(err.text, "'dayly'"));
	schedule_restore(schedule, "dayly", 0);
	cr_assert_eq(settings, 0);
}

Test(schedule, there_is_no_timer_while_no_mark_is_asked_for)
{
	schedule_restore(schedule, "hourly", at("2026-11-23 10:00:00 +0100"));
	end_pass("");
	cr_assert_eq(settings, 0);
	expect_mark("0 0 30 2 *", "no");
	cr_assert_eq(settings, 0);
	expect_mark("hourly", "no");
	cr_assert_eq(settings, 1);
	cr_assert(armed);
	schedule_pass_begins(schedule);
	expect_mark("hourly", "no");
	cr_assert_eq(settings, 1); /* and it is set only when something changed */
}

Test(schedule, the_timer_fires_when_the_time_of_the_nearest_mark_has_come)
{
	struct timespec now;

	set_clock("2026-11-23 10:59:59 +0100");
	expect_mark("daily", "no");
	expect_mark("hourly", "no");
	end_pass("daily=2026-11-23 10:59:59 +0100;hourly=2026-11-23 10:59:59 +0100;");
	loop_run(loop);
	cr_assert_eq(fired, 1);
	clock_gettime(CLOCK_REALTIME, &now);
	cr_assert_geq(now.tv_sec, at("2026-11-23 11:00:00 +0100"));
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
	expect_mark("daily", "no");
	end_pass("hourly=2026-11-23 11:00:00 +0100;");
}

Test(schedule, a_mark_missed_during_a_long_pass_fires_again_at_once)
{
	schedule_restore(schedule, "hourly", at("2026-11-23 08:00:00 +0100"));
	expect_mark("hourly", "2026-11-23T10:00:00+0100");
	set_clock("2026-11-23 11:00:01 +0100");
	end_pass("hourly=2026-11-23 10:00:00 +0100;");
	loop_run(loop);
	cr_assert_eq(fired, 1);
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
}

/* As the kernel tells it: the timer is readable, and reading it says ECANCELED. */
static void step_clock(const char *text)
{
	struct itimerspec now = { .it_value = { .tv_nsec = 1 } };

	set_clock(text);
	stepped = true;
	cr_assert_eq(syscall(SYS_timerfd_settime, timer_fd, TFD_TIMER_ABSTIME, &now, NULL), 0);
}

Test(schedule, a_clock_that_is_set_forward_is_noticed)
{
	expect_mark("daily", "no");
	end_pass("daily=2026-11-23 10:20:30 +0100;");
	step_clock("2026-11-24 06:00:00 +0100");
	loop_run(loop);
	cr_assert_eq(fired, 1);
	expect_mark("daily", "2026-11-24T00:00:00+0100");
}

static void leave(struct loop_timer *timer)
{
	(void)timer;
	loop_exit(loop);
}

Test(schedule, a_clock_that_is_set_back_sets_the_timer_again)
{
	struct loop_timer soon;

	loop_timer_init(&soon, loop, leave);
	expect_mark("hourly", "no");
	end_pass("hourly=2026-11-23 10:20:30 +0100;");
	step_clock("2026-11-23 10:00:00 +0100");
	loop_timer_set(&soon, 20000);
	loop_run(loop);
	cr_assert_eq(fired, 0);
	cr_assert_eq(settings, 2);
	cr_assert(armed);
	loop_timer_done(&soon);
}

Test(schedule, a_record_from_a_clock_that_was_wrong_does_not_hold_for_years)
{
	schedule_restore(schedule, "hourly", at("2036-11-23 10:00:00 +0100"));
	expect_mark("hourly", "no");
	end_pass("");
	set_clock("2026-11-23 11:00:00 +0100");
	expect_mark("hourly", "2026-11-23T11:00:00+0100");
}

Test(schedule, a_clock_set_back_a_little_does_not_run_a_mark_twice)
{
	schedule_restore(schedule, "hourly", at("2026-11-23 10:00:00 +0100"));
	set_clock("2026-11-23 09:59:58 +0100");
	expect_mark("hourly", "no");
	end_pass("");
	set_clock("2026-11-23 10:00:00 +0100");
	expect_mark("hourly", "no");
}
