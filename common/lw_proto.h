/* lw_proto.h - the messages between supervisor and workers, in one table.
 *
 * A message is a frame whose body is one msgpack list [id, field ...] with the fields in
 * the order of the table. From the table come the enum, the structs, the decoder's checks,
 * the encoder and the names. A handler receives a struct already checked: known id, right
 * sender, each field present, typed and within its bound. Text, bytes and values of a
 * decoded message borrow from the frame.
 *
 * Sequences: a worker numbers what must not be lost (STATE, RESULT) from 1 on within one
 * incarnation and keeps it until ACK; WELCOME says the last number that is journalled.
 */
#ifndef LW_PROTO_H
#define LW_PROTO_H

#include "lw_buf.h"
#include "lw_err.h"
#include "lw_value.h"

#define LW_PROTO_VERSION 1
#define LW_NAME_MAX      255  /* bytes of a work's or a value's name */
#define LW_SENTENCE_MAX  8192 /* bytes of an error */
#define LW_WINDOW_MAX    1024 /* runs sent ahead */

/* clang-format off */
/*                        kind   field        longest */
#define LW_HELLO(F, s)    F(s, U64,  version,     0) \
                          F(s, TEXT, token,       64) \
                          F(s, TEXT, store,       64) \
                          F(s, U64,  worker,      0) \
                          F(s, U64,  incarnation, 0) \
                          F(s, U64,  pid,         0) \
                          F(s, U64,  window,      0) \
                          F(s, U64,  run,         0) /* in hand, 0: none */ \
                          F(s, U64,  attempt,     0) \
                          F(s, U64,  sequence,    0) /* last one used */
#define LW_WELCOME(F, s)  F(s, TEXT, work,        LW_NAME_MAX) \
                          F(s, U64,  sequence,    0) /* last one journalled */
#define LW_REFUSE(F, s)   F(s, TEXT, reason,      LW_SENTENCE_MAX)
#define LW_RUN(F, s)      F(s, U64,  run,         0) \
                          F(s, U64,  attempt,     0) \
                          F(s, LIST, positional,  LW_VALUE_MAX) \
                          F(s, MAP,  named,       LW_VALUE_MAX)
#define LW_WITHDRAW(F, s) F(s, U64,  run,         0)
#define LW_WITHDRAWN(F, s) F(s, U64, run,         0)
#define LW_SET(F, s)      F(s, TEXT, name,        LW_NAME_MAX) \
                          F(s, ANY,  value,       LW_VALUE_MAX)
#define LW_STATE(F, s)    F(s, U64,  sequence,    0) \
                          F(s, U64,  run,         0) /* 0: outside a run */ \
                          F(s, TEXT, name,        LW_NAME_MAX) \
                          F(s, ANY,  value,       LW_VALUE_MAX)
#define LW_PROGRESS(F, s) F(s, U64,  run,         0) \
                          F(s, F64,  share,       0) /* 0 to 1 */
#define LW_RESULT(F, s)   F(s, U64,  sequence,    0) \
                          F(s, U64,  run,         0) \
                          F(s, U64,  attempt,     0) \
                          F(s, BOOL, success,     0) \
                          F(s, ANY,  value,       LW_VALUE_MAX) \
                          F(s, TEXT, reason,      LW_NAME_MAX) /* "exit status 3"; empty on success */ \
                          F(s, TEXT, message,     LW_SENTENCE_MAX) /* the error's sentence */
#define LW_ACK(F, s)      F(s, U64,  sequence,    0)
#define LW_STOP(F, s)     F(s, TEXT, reason,      LW_SENTENCE_MAX)
#define LW_READY(F, s)    F(s, BOOL, ready,       0) /* may come right behind HELLO */

#define LW_SIGNAL(F, s)   F(s, U64,  number,      0) /* for the command in hand, of lw-worker alone */

/*         NAME       name      id  sent by */
#define LW_MESSAGES(M)                               \
	M(HELLO,     hello,     1,  LW_BY_WORKER)     \
	M(WELCOME,   welcome,   2,  LW_BY_SUPERVISOR) \
	M(REFUSE,    refuse,    3,  LW_BY_SUPERVISOR) \
	M(RUN,       run,       4,  LW_BY_SUPERVISOR) \
	M(WITHDRAW,  withdraw,  5,  LW_BY_SUPERVISOR) \
	M(WITHDRAWN, withdrawn, 6,  LW_BY_WORKER)     \
	M(SET,       set,       7,  LW_BY_SUPERVISOR) \
	M(STATE,     state,     8,  LW_BY_WORKER)     \
	M(PROGRESS,  progress,  9,  LW_BY_WORKER)     \
	M(RESULT,    result,    10, LW_BY_WORKER)     \
	M(ACK,       ack,       11, LW_BY_SUPERVISOR) \
	M(STOP,      stop,      12, LW_BY_SUPERVISOR) \
	M(READY,     ready,     13, LW_BY_WORKER)     \
	M(SIGNAL,    signal,    14, LW_BY_SUPERVISOR)
/* clang-format on */

enum lw_sender { LW_BY_WORKER, LW_BY_SUPERVISOR };

/* kind -> member type */
#define LW_MEMBER_U64                      uint64_t
#define LW_MEMBER_F64                      double
#define LW_MEMBER_BOOL                     bool
#define LW_MEMBER_TEXT                     struct lw_slice
#define LW_MEMBER_LIST                     struct lw_slice
#define LW_MEMBER_MAP                      struct lw_slice
#define LW_MEMBER_ANY                      struct lw_slice
#define LW_MEMBER(s, kind, field, longest) LW_MEMBER_##kind field;
#define LW_BODY(NAME, name, id, by)                                                                \
	struct lw_msg_##name {                                                                     \
		LW_##NAME(LW_MEMBER, x)                                                            \
	};
LW_MESSAGES(LW_BODY)
#undef LW_BODY

#define LW_ENUM(NAME, name, id, by) LW_MSG_##NAME = (id),
enum lw_msg_id { LW_MESSAGES(LW_ENUM) };
#undef LW_ENUM

struct lw_msg {
	enum lw_msg_id id;
	union {
#define LW_UNION(NAME, name, id, by) struct lw_msg_##name name;
		LW_MESSAGES(LW_UNION)
#undef LW_UNION
	};
};

/* -EBADMSG with a sentence that names message and field. Nothing is allocated. */
LW_MUST_USE int lw_msg_decode(struct lw_slice body, enum lw_sender by, struct lw_msg *ret_msg,
			      struct lw_err *err);

/* Appends one frame. The fields were built by us: what does not fit its bound is cut
 * (text) or is our own mistake (values: lw_fatal). */
void lw_msg_encode(struct lw_buf *out, const struct lw_msg *msg);

const char *lw_msg_name(enum lw_msg_id id);

/* The table as data, for the protocol page, the fuzz dictionary and tests. */
enum lw_kind {
	LW_KIND_U64,
	LW_KIND_F64,
	LW_KIND_BOOL,
	LW_KIND_TEXT,
	LW_KIND_LIST,
	LW_KIND_MAP,
	LW_KIND_ANY
};
struct lw_field {
	const char *name;
	enum lw_kind kind;
	size_t offset; /* in struct lw_msg */
	size_t longest;
};
struct lw_descriptor {
	const char *name;
	enum lw_msg_id id;
	enum lw_sender by;
	const struct lw_field *fields;
	size_t count;
};
const struct lw_descriptor *lw_msg_descriptors(size_t *ret_count);

#endif
