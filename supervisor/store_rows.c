/* store_rows.c - rows and batches as bytes. Pure: knows no file.
 *
 * A row is its columns in order. A number is a little-endian base-128 varint in its shortest
 * form (signed ones zigzag: 0, -1, 1, -2 ...); text and bytes are a varint, 0 for none, else
 * their size + 1, and the bytes. A change in a batch is one byte that names the op, and the
 * columns that op has.
 *
 * The decoder believes nothing: every length is checked against the bytes that are left, every
 * number against the width of its column.
 */
#include "store_private.h"

#include <errno.h>

/* ---- shapes ----------------------------------------------------------------------------- */

/* clang-format off */
#define COLUMN(s, KIND, member, how)    { #member, COLUMN_##KIND, how, offsetof(struct s, member) },
#define MOVES false
#define STAYS true

static const struct column run_columns[] = {
#define RUN(KIND, member, how) COLUMN(run_row, KIND, member, how)
	RUN(ID,   id,          STAYS)
	RUN(U32,  work,        STAYS)
	RUN(U8,   stage,       MOVES)
	RUN(U8,   by,          STAYS)
	RUN(U8,   why,         STAYS)
	RUN(U8,   flags,       MOVES)
	RUN(I64,  started,     MOVES)
	RUN(I64,  ended,       MOVES)
	RUN(BLOB, form,        STAYS) /* the last of STORE_KEPT_COLUMNS */
	RUN(I64,  created,     STAYS)
	RUN(U32,  attempt,     MOVES)
	RUN(U32,  failures,    MOVES)
	RUN(U32,  lost,        MOVES)
	RUN(I64,  rank,        MOVES)
	RUN(I64,  due,         MOVES)
	RUN(U64,  worker,      MOVES)
	RUN(U64,  incarnation, MOVES)
	RUN(TEXT, reason,      MOVES)
	RUN(TEXT, message,     MOVES)
	RUN(BLOB, call,        STAYS)
	RUN(BLOB, result,      MOVES)
	RUN(BLOB, past,        MOVES)
};

static const struct column work_columns[] = {
#define WORK(KIND, member) COLUMN(work_row, KIND, member, MOVES)
	WORK(U32,  id)
	WORK(TEXT, name)
	WORK(TEXT, settings)
	WORK(BOOL, held)
	WORK(BOOL, made_in_pass)
};

static const struct column worker_columns[] = {
#define WORKER(KIND, member) COLUMN(worker_row, KIND, member, MOVES)
	WORKER(ID,   id)
	WORKER(U32,  work)
	WORKER(U32,  slot)
	WORKER(U64,  incarnation)
	WORKER(U64,  applied)
	WORKER(I64,  pid)
	WORKER(U64,  start)
	WORKER(U64,  handle)
	WORKER(TEXT, boot)
	WORKER(TEXT, token)
	WORKER(U8,   ending)
	WORKER(U8,   ready)
};

static const struct column state_columns[] = {
	COLUMN(state_row, U32,  work,  MOVES)
	COLUMN(state_row, TEXT, name,  MOVES)
	COLUMN(state_row, BLOB, value, MOVES)
};

static const struct column mark_columns[] = {
	COLUMN(mark_row, TEXT, mark, MOVES)
	COLUMN(mark_row, I64,  at,   MOVES)
};

static const struct column pause_columns[] = {
	COLUMN(pause_row, U32,  work, MOVES)
	COLUMN(pause_row, I64,  at,   MOVES)
	COLUMN(pause_row, TEXT, by,   MOVES)
};

/* Parts of a row, for changes of one thing. */
static const struct column flags_columns[] = { RUN(ID, id, STAYS) RUN(U8, flags, MOVES) };
static const struct column applied_columns[] = { WORKER(ID, id) WORKER(U64, applied) };
/* clang-format on */

/* clang-format off */
#define SHAPE(table, columns, keys) { table, columns, LW_COUNT(columns), keys }
const struct shape store_run_shape    = SHAPE("runs",    run_columns,    1);
const struct shape store_work_shape   = SHAPE("works",   work_columns,   1);
const struct shape store_worker_shape = SHAPE("workers", worker_columns, 1);
const struct shape store_state_shape  = SHAPE("state",   state_columns,  2);
const struct shape store_mark_shape   = SHAPE("marks",   mark_columns,   1);
const struct shape store_pause_shape  = SHAPE("pauses",  pause_columns,  1);
static const struct shape flags_shape       = SHAPE("runs",    flags_columns,     1);
static const struct shape applied_shape     = SHAPE("workers", applied_columns,   1);
/* Their keys alone. */
static const struct shape worker_gone_shape = { "workers", applied_columns, 1, 1 };
static const struct shape state_gone_shape  = { "state", state_columns, 2, 2 };
static const struct shape pause_gone_shape  = { "pauses", pause_columns, 1, 1 };

const struct store_op store_ops[OPS_N] = {
	[OP_RUN_NEW]     = { &store_run_shape,    STORE_INSERT, NULL },
	[OP_RUN]         = { &store_run_shape,    STORE_UPDATE, NULL },
	[OP_FLAGS]       = { &flags_shape,        STORE_UPDATE, NULL },
	[OP_WORK]        = { &store_work_shape,   STORE_UPSERT, NULL },
	[OP_WORKER]      = { &store_worker_shape, STORE_UPSERT, NULL },
	[OP_APPLIED]     = { &applied_shape,      STORE_UPDATE, NULL },
	[OP_WORKER_GONE] = { &worker_gone_shape,  STORE_OTHER,
			     "UPDATE workers SET pid = 0 WHERE id = ?1" },
	[OP_STATE]       = { &store_state_shape,  STORE_UPSERT, NULL },
	[OP_STATE_GONE]  = { &state_gone_shape,   STORE_OTHER,
			     "DELETE FROM state WHERE work = ?1 AND name = ?2" },
	[OP_MARK]        = { &store_mark_shape,   STORE_UPSERT, NULL },
	[OP_PAUSE]       = { &store_pause_shape,  STORE_UPSERT, NULL },
	[OP_PAUSE_GONE]  = { &pause_gone_shape,   STORE_OTHER,
			     "DELETE FROM pauses WHERE work = ?1" },
};
/* clang-format on */

/* ---- SQL ------------------------------------------------------------------------------------ */

void store_columns_sql(const struct shape *shape, size_t count, struct lw_buf *out)
{
	for (size_t i = 0; i < count; i++)
		lw_buf_printf(out, "%s%s", i > 0 ? ", " : "", shape->columns[i].name);
}

static void insert_sql(const struct shape *shape, struct lw_buf *out)
{
	lw_buf_printf(out, "INSERT INTO %s(", shape->table);
	store_columns_sql(shape, shape->count, out);
	lw_buf_printf(out, ") VALUES (");
	for (size_t i = 0; i < shape->count; i++)
		lw_buf_printf(out, "%s?%zu", i > 0 ? ", " : "", i + 1);
	lw_buf_printf(out, ")");
}

/* "stage = ?3, flags = ?6": what is no key and does not stay. */
static void set_sql(const struct store_op *op, struct lw_buf *out)
{
	const char *before = " SET ";

	for (size_t i = op->shape->keys; i < op->shape->count; i++) {
		if (!store_op_has(op, i))
			continue;
		lw_buf_printf(out, "%s%s = ?%zu", before, op->shape->columns[i].name, i + 1);
		before = ", ";
	}
}

void store_op_sql(const struct store_op *op, struct lw_buf *out)
{
	switch (op->how) {
	case STORE_INSERT:
		insert_sql(op->shape, out);
		break;
	case STORE_UPSERT:
		insert_sql(op->shape, out);
		lw_buf_printf(out, " ON CONFLICT (");
		store_columns_sql(op->shape, op->shape->keys, out);
		lw_buf_printf(out, ") DO UPDATE");
		set_sql(op, out);
		break;
	case STORE_UPDATE:
		lw_buf_printf(out, "UPDATE %s", op->shape->table);
		set_sql(op, out);
		lw_buf_printf(out, " WHERE %s = ?1", op->shape->columns[0].name);
		break;
	case STORE_OTHER:
		lw_buf_printf(out, "%s", op->sql);
		break;
	}
}

/* ---- numbers of any width ------------------------------------------------------------------ */

int64_t column_get(const struct column *column, const void *row)
{
	const void *member = (const char *)row + column->offset;

	switch (column->kind) {
	case COLUMN_U8:
		return *(const uint8_t *)member;
	case COLUMN_BOOL:
		return *(const bool *)member;
	case COLUMN_U32:
		return *(const uint32_t *)member;
	case COLUMN_ID:
	case COLUMN_U64: /* the same bits */
	case COLUMN_I64:
		return *(const int64_t *)member;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
		break;
	}
	lw_fatal("column '%s' is no number", column->name);
}

bool column_set(const struct column *column, void *row, int64_t value)
{
	void *member = (char *)row + column->offset;

	switch (column->kind) {
	case COLUMN_U8:
		*(uint8_t *)member = (uint8_t)value;
		return value >= 0 && value <= UINT8_MAX;
	case COLUMN_BOOL:
		*(bool *)member = value == 1;
		return value == 0 || value == 1;
	case COLUMN_U32:
		*(uint32_t *)member = (uint32_t)value;
		return value >= 0 && value <= UINT32_MAX;
	case COLUMN_ID:
		*(uint64_t *)member = (uint64_t)value;
		return value > 0;
	case COLUMN_U64:
		*(uint64_t *)member = (uint64_t)value;
		return true;
	case COLUMN_I64:
		*(int64_t *)member = value;
		return true;
	case COLUMN_TEXT:
	case COLUMN_BLOB:
		break;
	}
	lw_fatal("column '%s' is no number", column->name);
}

/* ---- to bytes --------------------------------------------------------------------------------- */

#define VARINT_MAX 10

static void put_varint(struct lw_buf *out, uint64_t value)
{
	uint8_t bytes[VARINT_MAX];
	size_t size = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[size++] = (uint8_t)(value | 0x80);
	bytes[size++] = (uint8_t)value;
	lw_buf_add(out, bytes, size);
}

static void put_slice(struct lw_buf *out, struct lw_slice slice)
{
	put_varint(out, slice.data == NULL ? 0 : slice.size + 1);
	lw_buf_add(out, slice.data, slice.data == NULL ? 0 : slice.size);
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static void put_column(struct lw_buf *out, const struct column *column, const void *row)
{
	int64_t number;

	if (column_is_slice(column)) {
		put_slice(out, *(const struct lw_slice *)(const void *)((const char *)row +
									column->offset));
		return;
	}
	number = column_get(column, row);
	put_varint(out, column->kind == COLUMN_I64 ? zigzag(number) : (uint64_t)number);
}

static void put_op(struct lw_buf *batch, enum store_op_code code, const void *row)
{
	const struct store_op *op = &store_ops[code];
	uint8_t byte = (uint8_t)code;

	lw_buf_add(batch, &byte, 1);
	for (size_t i = 0; i < op->shape->count; i++)
		if (store_op_has(op, i))
			put_column(batch, &op->shape->columns[i], row);
}

void run_row_put(struct lw_buf *out, const struct run_row *row)
{
	for (size_t i = 0; i < LW_COUNT(run_columns); i++)
		put_column(out, &run_columns[i], row);
}

void store_put_run_new(struct lw_buf *batch, const struct run_row *row)
{
	put_op(batch, OP_RUN_NEW, row);
}

void store_put_run(struct lw_buf *batch, const struct run_row *row)
{
	put_op(batch, OP_RUN, row);
}

void store_put_flags(struct lw_buf *batch, uint64_t run, uint8_t flags)
{
	put_op(batch, OP_FLAGS, &(struct run_row){ .id = run, .flags = flags });
}

void store_put_work(struct lw_buf *batch, const struct work_row *row)
{
	put_op(batch, OP_WORK, row);
}

void store_put_worker(struct lw_buf *batch, const struct worker_row *row)
{
	put_op(batch, OP_WORKER, row);
}

void store_put_applied(struct lw_buf *batch, uint64_t worker, uint64_t applied)
{
	put_op(batch, OP_APPLIED, &(struct worker_row){ .id = worker, .applied = applied });
}

void store_put_worker_gone(struct lw_buf *batch, uint64_t worker)
{
	put_op(batch, OP_WORKER_GONE, &(struct worker_row){ .id = worker });
}

void store_put_state(struct lw_buf *batch, uint32_t work, struct lw_slice name,
		     struct lw_slice value)
{
	put_op(batch, value.size > 0 ? OP_STATE : OP_STATE_GONE,
	       &(struct state_row){ work, name, value });
}

void store_put_mark(struct lw_buf *batch, struct lw_slice mark, int64_t at)
{
	put_op(batch, OP_MARK, &(struct mark_row){ mark, at });
}

void store_put_pause(struct lw_buf *batch, const struct pause_row *row)
{
	put_op(batch, row->at != 0 ? OP_PAUSE : OP_PAUSE_GONE, row);
}

/* ---- from bytes ------------------------------------------------------------------------------- */

static bool take_varint(struct lw_slice *bytes, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes->size && i < VARINT_MAX; i++) {
		uint8_t byte = bytes->data[i];

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte >= 0x80)
			continue;
		if ((byte == 0 && i > 0) || (i == VARINT_MAX - 1 && byte > 1))
			return false; /* not the shortest, or above 64 bits */
		*bytes = (struct lw_slice){ bytes->data + i + 1, bytes->size - i - 1 };
		*ret_value = value;
		return true;
	}
	return false;
}

static bool take_slice(struct lw_slice *bytes, struct lw_slice *ret_slice)
{
	uint64_t size;

	*ret_slice = (struct lw_slice){ 0 };
	if (!take_varint(bytes, &size))
		return false;
	if (size == 0)
		return true;
	if (--size > bytes->size)
		return false;
	*ret_slice = (struct lw_slice){ bytes->data, (size_t)size };
	*bytes = (struct lw_slice){ bytes->data + size, bytes->size - (size_t)size };
	return true;
}

static int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

static bool take_column(struct lw_slice *bytes, const struct column *column, void *row)
{
	uint64_t number;

	if (column_is_slice(column))
		return take_slice(bytes, column_slice(column, row));
	return take_varint(bytes, &number) &&
	       column_set(column, row,
			  column->kind == COLUMN_I64 ? unzigzag(number) : (int64_t)number);
}

static int take_columns(struct lw_slice *bytes, const struct store_op *op, void *row,
			struct lw_err *err)
{
	for (size_t i = 0; i < op->shape->count; i++)
		if (store_op_has(op, i) && !take_column(bytes, &op->shape->columns[i], row))
			return lw_err_set(err, -EBADMSG,
					  "the bytes of a row of %s make no sense from '%s' on",
					  op->shape->table, op->shape->columns[i].name);
	return 0;
}

int store_op_take(struct lw_slice *batch, enum store_op_code *ret_code, union store_row *ret_row,
		  struct lw_err *err)
{
	uint8_t code;

	if (batch->size == 0 || batch->data[0] >= OPS_N)
		return lw_err_set(err, -EBADMSG, "a batch names a change that does not exist");
	code = batch->data[0];
	*batch = (struct lw_slice){ batch->data + 1, batch->size - 1 };
	*ret_code = (enum store_op_code)code;
	return take_columns(batch, &store_ops[code], ret_row, err);
}

int run_row_take(struct lw_slice *bytes, struct run_row *ret_row, struct lw_err *err)
{
	struct lw_slice rest = *bytes;
	struct run_row row;
	int r = take_columns(&rest, &store_ops[OP_RUN_NEW], &row, err);

	if (r < 0)
		return r;
	*bytes = rest;
	*ret_row = row;
	return 0;
}
