/* work_private.h - what the parts of a work (work*.c) use of each other. */
#ifndef LW_SUPERVISOR_WORK_PRIVATE_H
#define LW_SUPERVISOR_WORK_PRIVATE_H

#include "work.h"

/* work.c */
void work_settle_pool(struct work *work); /* no process is left */
void work_note_status(struct work *work, const struct run *run);

/* work_files.c */
void work_take_files(struct work *work); /* config->cache_files */
void work_make_head(struct work *work);
/* 0: the files are known, or there are none; 1: a call has to wait for them; -EIO. */
LW_MUST_USE int work_ask_files(struct work *work, struct lw_err *err);
/* The files are those of the run's key. */
bool work_sees_its_files(const struct work *work, const struct run *run);

/* work_call.c */
/* The call of a memo is forgotten; its run stays in the history. NULL is welcome. */
void work_forget_memo(struct work *work, struct memo *memo);

LW_MUST_USE int work_make_run(struct work *work, struct lw_key key, struct lw_slice form,
			      struct lw_slice call, struct memo *known, enum caller by,
			      enum why why, struct run **ret_run, struct lw_err *err);

/* A run that is not over and not wanted any more is forgotten; gives up the holder's reference. */
void work_overtake(struct work *work, struct run *run, uint64_t by);
void work_set_latest(struct work *work, struct run *run);

/* work_steer.c */
/* overlap = cancel: every run that a process has in hand is forgotten, and stopped for the run `by`. */
void work_cancel_running(struct work *work, uint64_t by);

/* work_run.c: each end of a run goes through work_finish(), which gives up the reference of whoever held the run. */
bool work_may_run(const struct work *work);
void work_finish(struct work *work, struct run *run, enum stage stage, const char *reason,
		 const char *message);
void work_attempt_failed(struct work *work, struct run *run, const char *reason,
			 const char *message);
int64_t work_jittered(double delay, double jitter);

/* work_pool.c */
void work_on_pump(struct loop_task *task);
void work_on_renew(struct loop_task *task);
void work_on_again(struct loop_timer *timer);
void work_on_balance(struct loop_timer *timer);
void work_service_over(struct work *work, const struct run *run);
void work_service_goes_on(struct work *work); /* work->rule_waits, and a run of others is over */

#endif
