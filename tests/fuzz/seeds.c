/* seeds.c - fuzz_seeds FOLDER: what the fuzz targets start from.
 *
 * Writes FOLDER/<target>/<seed> and FOLDER/<target>.dict, from the tables of messages, requests
 * and options, runs in each stage, the examples, flows.lua and the vectors of canonical form, so that a new message,
 * request or option is fuzzed without anybody thinking of it. Nothing that it writes is committed. */
#include <errno.h>
#include <glob.h>
#include <sys/stat.h>

#include "api.h"
#include "config.h"
#include "fuzz.h"
#include "lw_call.h"
#include "lw_frame.h"
#include "lw_logfile.h"
#include "lw_proto.h"
#include "run.h"
#include "store.h"
#include "work.h"

/* ---- files ---------------------------------------------------------------------------------- */

static const char *root;
static size_t count; /* of seeds, for their names */

static void make_folder(const char *path)
{
	HOLDS(mkdir(path, 0777) == 0 || errno == EEXIST, "cannot make '%s'", path);
}

static FILE *open_file(const char *path)
{
	FILE *file = fopen(path, "wb");

	HOLDS(file != NULL, "cannot write '%s'", path);
	return file;
}

/* `name` is for a person who looks at a finding's base; any text. */
static void write_seed(const char *target, const char *name, struct lw_slice seed)
{
	LW_AUTO(lw_free) char *folder = lw_format("%s/%s", root, target);
	LW_AUTO(lw_free) char *path = lw_format("%s/%04zu-%.60s", folder, count++, name);
	FILE *file;

	for (char *at = path + strlen(folder) + 1; *at != '\0'; at++)
		if (strchr("/* ?\"'", *at) != NULL)
			*at = '_';
	make_folder(folder);
	file = open_file(path);
	HOLDS(fwrite(seed.data, 1, seed.size, file) == seed.size && fclose(file) == 0,
	      "cannot write '%s'", path);
}

static struct lw_slice slice_of(const char *text)
{
	return (struct lw_slice){ (const uint8_t *)text, strlen(text) };
}

static FILE *open_dictionary(const char *target)
{
	LW_AUTO(lw_free) char *path = lw_format("%s/%s.dict", root, target);

	return open_file(path);
}

/* One word as libFuzzer reads it: "\x93\x01". */
static void add_word(FILE *dictionary, struct lw_slice word)
{
	fputc('"', dictionary);
	for (size_t i = 0; i < word.size; i++)
		fprintf(dictionary, "\\x%02x", word.data[i]);
	fputs("\"\n", dictionary);
}

static void add_words(FILE *dictionary, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_word(dictionary, slice_of(words[i]));
}

/* ---- messages and frames ---------------------------------------------------------------------- */

/* A value with something of every kind in it. */
static void put_sample(struct lw_buf *out)
{
	lw_put_map(out, 4);
	lw_put_cstr(out, "list");
	lw_put_list(out, 5);
	lw_put_nil(out);
	lw_put_truth(out, true);
	lw_put_int(out, -70000);
	lw_put_uint(out, UINT64_MAX);
	lw_put_float(out, 0.1);
	lw_put_cstr(out, "bytes");
	lw_put_bytes(out, "\0\xff", 2);
	lw_put_cstr(out, "\xc3\xa4");
	lw_put_map(out, 0);
	lw_put_int(out, 1);
	lw_put_cstr(out, "a key that is no text");
}

struct sample {
	struct lw_buf value, list, map;
	struct lw_buf text; /* longer than any field takes */
	bool large;
};

static void make_sample(struct sample *sample, bool large)
{
	*sample = (struct sample){ .large = large };
	put_sample(&sample->value);
	lw_put_list(&sample->list, large ? 2 : 0);
	for (int i = 0; large && i < 2; i++)
		put_sample(&sample->list);
	if (large)
		put_sample(&sample->map);
	else
		lw_put_map(&sample->map, 0);
	while (sample->text.size <= LW_NAME_MAX)
		lw_buf_add(&sample->text, "name\xe2\x82\xac", 7);
}

static void sample_done(struct sample *sample)
{
	lw_buf_done(&sample->value);
	lw_buf_done(&sample->list);
	lw_buf_done(&sample->map);
	lw_buf_done(&sample->text);
}

static void fill_field(const struct lw_field *field, const struct sample *sample, void *place)
{
	switch (field->kind) {
	case LW_KIND_U64:
		*(uint64_t *)place = sample->large ? UINT64_MAX - 1 : 1;
		break;
	case LW_KIND_F64:
		*(double *)place = 0.25;
		break;
	case LW_KIND_BOOL:
		*(bool *)place = sample->large;
		break;
	case LW_KIND_TEXT:
		*(struct lw_slice *)place =
			sample->large ? lw_buf_slice(&sample->text) : slice_of(field->name);
		break;
	case LW_KIND_LIST:
		*(struct lw_slice *)place = lw_buf_slice(&sample->list);
		break;
	case LW_KIND_MAP:
		*(struct lw_slice *)place = lw_buf_slice(&sample->map);
		break;
	case LW_KIND_ANY:
		*(struct lw_slice *)place = lw_buf_slice(&sample->value);
		break;
	}
}

static void message(const struct lw_descriptor *descriptor, bool large, struct lw_buf *out)
{
	struct lw_msg msg = { .id = descriptor->id };
	struct sample sample;

	make_sample(&sample, large);
	for (size_t i = 0; i < descriptor->count; i++)
		fill_field(&descriptor->fields[i], &sample,
			   (char *)&msg + descriptor->fields[i].offset);
	lw_msg_encode(out, &msg);
	sample_done(&sample);
}

static void frame_seed(const char *name, uint8_t piece, uint16_t most, struct lw_slice stream)
{
	LW_AUTO_BUF seed = { 0 };

	lw_buf_add(&seed, (const uint8_t[]){ piece, (uint8_t)(most >> 8), (uint8_t)most }, 3);
	lw_buf_add(&seed, stream.data, stream.size);
	write_seed("frame", name, lw_buf_slice(&seed));
}

static void messages(void)
{
	size_t n;
	const struct lw_descriptor *descriptors = lw_msg_descriptors(&n);
	LW_AUTO_BUF stream = { 0 };

	for (size_t i = 0; i < 2 * n; i++) {
		LW_AUTO_BUF frame = { 0 };
		struct lw_slice body;

		message(&descriptors[i / 2], i % 2 == 1, &frame);
		body = (struct lw_slice){ frame.data + LW_FRAME_HEAD, frame.size - LW_FRAME_HEAD };
		write_seed("message", descriptors[i / 2].name, body);
		frame_seed(descriptors[i / 2].name, 3, LW_FRAME_STRANGER, lw_buf_slice(&frame));
		lw_buf_add(&stream, frame.data, frame.size);
	}
	frame_seed("all of them", 255, LW_FRAME_STRANGER, lw_buf_slice(&stream));
	frame_seed("one too long", 20, 100, lw_buf_slice(&stream));
}

/* Heads of msgpack at their bounds; the head of each message. */
static void add_heads(FILE *dictionary)
{
	static const uint64_t bounds[] = { 31, 32, 127, 128, 255, 256, 65535, 65536, UINT32_MAX };
	size_t n;
	const struct lw_descriptor *descriptors = lw_msg_descriptors(&n);

	for (size_t i = 0; i < n; i++) {
		LW_AUTO_BUF head = { 0 };

		lw_put_list(&head, (uint32_t)descriptors[i].count + 1);
		lw_put_uint(&head, (uint64_t)descriptors[i].id);
		add_word(dictionary, lw_buf_slice(&head));
	}
	for (unsigned head = 0xc0; head < 0xe0; head++)
		add_word(dictionary, (struct lw_slice){ &(uint8_t){ (uint8_t)head }, 1 });
	for (size_t i = 0; i < LW_COUNT(bounds); i++) {
		LW_AUTO_BUF number = { 0 };

		lw_put_uint(&number, bounds[i]);
		add_word(dictionary, lw_buf_slice(&number));
	}
}

/* ---- values and calls ---------------------------------------------------------------------------- */

static void hex_seed(const char *hex)
{
	LW_AUTO_BUF bytes = { 0 };
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		lw_buf_add(&bytes, &(uint8_t){ (uint8_t)byte }, 1);
	write_seed("call", "vector", lw_buf_slice(&bytes));
}

/* Every text under these keys, alone or in a list. */
static void vector_seeds(const json_t *vector)
{
	static const char *const keys[] = { "value", "call", "calls" };

	for (size_t i = 0; i < LW_COUNT(keys); i++) {
		const json_t *member = json_object_get(vector, keys[i]);
		const json_t *one;
		size_t k;

		if (json_is_string(member))
			hex_seed(json_string_value(member));
		json_array_foreach(member, k, one) hex_seed(json_string_value(one));
	}
}

static void vectors(void)
{
	json_error_t error;
	json_t *all = json_load_file(LW_VECTORS "/canon.json", 0, &error);
	const char *name;
	const json_t *group, *vector;
	size_t i;

	HOLDS(all != NULL, "canon.json:%d: %s", error.line, error.text);
	json_object_foreach(all, name, group) json_array_foreach(group, i, vector)
		vector_seeds(vector);
	json_decref(all);
}

static void nested(void)
{
	LW_AUTO_BUF value = { 0 };

	for (int i = 0; i < LW_DEPTH_MAX; i++)
		lw_put_list(&value, 1);
	lw_put_bytes(&value, "x", 1);
	write_seed("call", "as deep as may be", lw_buf_slice(&value));
}

/* What JSON cannot say by itself, and what looks like it. */
static void add_specials(FILE *dictionary)
{
	static const char *const words[] = { "\xa6$bytes", "\xa6$float", "\xa4$int", "\xa7$$bytes",
					     "\xa3nan" };

	add_words(dictionary, words, LW_COUNT(words));
}

/* ---- app.conf -------------------------------------------------------------------------------------- */

/* What an option of this kind takes, in Lua; ends in NULL. */
static const char *const *samples_of(enum option_kind kind)
{
	/* clang-format off */
	static const char *const samples[OPTION_KINDS_N][4] = {
		[OPTION_TRUTH]    = { "true" },
		[OPTION_WHOLE]    = { "3" },
		[OPTION_REAL]     = { "0.5", "2" },
		[OPTION_DURATION] = { "\"1.5h\"", "3", "\"none\"" },
		[OPTION_SIZE]     = { "\"8MiB\"", "10000000" },
		[OPTION_TEXT]     = { "\"v1\"", "3" },
		[OPTION_MEMORY]   = { "\"last\"" },
		[OPTION_OVERLAP]  = { "\"latest\"" },
		[OPTION_RESTART]  = { "\"always\"" },
		[OPTION_SIGNAL]   = { "\"HUP\"", "15" },
		[OPTION_PORT]     = { "\"auto\"", "8080" },
		[OPTION_VIEW]     = { "\"[::1]:80\"", "false" },
		[OPTION_ZONE]     = { "\"Europe/Berlin\"", "\"CET-1CEST\"" },
		[OPTION_FOLDER]   = { "\"/\"" },
		[OPTION_COMMAND]  = { "{ \"true\", \"{1}\" }", "\"true\"" },
		[OPTION_PROGRAM]  = { "\"true\"" },
		[OPTION_ARGS]     = { "{ 1, \"a\", lr = 0.1, deep = { { 2 } } }" },
		[OPTION_NAMES]    = { "{ \"seed\" }" },
		[OPTION_ENV]      = { "{ A = \"b\", N = 3 }" },
	};
	/* clang-format on */

	return samples[kind];
}

static void option_seeds(const struct config_option *options, bool of_app)
{
	for (; options->key != NULL; options++)
		for (const char *const *sample = samples_of(options->kind); *sample != NULL;
		     sample++) {
			LW_AUTO(lw_free)
			char *text = lw_format(of_app ? "app { %s = %s }\nfunction flow() end\n"
						      : "work \"w\" { command = { \"true\" }, "
							"%s = %s }\n",
					       options->key, *sample);

			write_seed("conf", options->key, slice_of(text));
		}
}

static void read_file(const char *path, struct lw_buf *out)
{
	FILE *file = fopen(path, "rb");
	uint8_t part[4096];
	size_t n;

	HOLDS(file != NULL, "cannot open '%s'", path);
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		lw_buf_add(out, part, n);
	fclose(file);
}

static void example_seeds(void)
{
	glob_t paths;

	HOLDS(glob(LW_SOURCE "/examples/*/app.conf", 0, NULL, &paths) == 0, "no examples");
	for (size_t i = 0; i < paths.gl_pathc; i++) {
		LW_AUTO_BUF text = { 0 };

		read_file(paths.gl_pathv[i], &text);
		write_seed("conf", "example", lw_buf_slice(&text));
	}
	globfree(&paths);
}

/* What stands between two lines of "----" in flows.lua, as the body of flow(). */
static void flow_seeds(void)
{
	static const char rule[] = "----\n";
	LW_AUTO_BUF bodies = { 0 };
	char *at, *end;

	read_file(LW_SOURCE "/tests/fuzz/flows.lua", &bodies);
	at = strstr(lw_buf_text(&bodies), rule);
	HOLDS(at != NULL, "flows.lua has no bodies");
	for (; at != NULL; at = end) {
		LW_AUTO_BUF text = { 0 };

		at += strlen(rule);
		end = strstr(at, rule);
		lw_buf_printf(
			&text,
			"work \"w\" { command = { \"true\" } }\n"
			"work \"p\" { program = \"true\", parallel = true, raise_exception = %s }\n"
			"function flow()\n%.*send\n",
			count % 2 == 0 ? "true" : "false",
			end != NULL ? (int)(end - at) : (int)strlen(at), at);
		write_seed("conf", "flow", lw_buf_slice(&text));
	}
}

static void conf_dictionary(void)
{
	static const char *const words[] = {
		"app ",     "work ",        "works",    "function flow() ",
		"end ",     "local ",       "lw.",      "lw.env(",
		"lw.map{",  "lw.list{",     "lw.null",  "lw.bytes(",
		"lw.state", ":run(",        ":stop()",  ".state.",
		".status.", "lw.schedule(", "require ", "pcall(",
		"nil",      "true",         "{ ",       " }",
		"<close> ", "none",         "\"true\"",
	};
	static const struct config_option *const tables[] = { work_options, app_options };
	FILE *dictionary = open_dictionary("conf");

	add_words(dictionary, words, LW_COUNT(words));
	for (size_t i = 0; i < LW_COUNT(tables); i++)
		for (const struct config_option *option = tables[i]; option->key != NULL;
		     option++) {
			const char *const *names = option_choices(option->kind);

			add_word(dictionary, slice_of(option->key));
			for (; names != NULL && *names != NULL; names++)
				add_word(dictionary, slice_of(*names));
			for (names = samples_of(option->kind); *names != NULL; names++)
				add_word(dictionary, slice_of(*names));
		}
	fclose(dictionary);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static const char *const bodies[] = {
	"",
	"{\"args\": [1, \"a\\u0000\"], \"kwargs\": {\"lr\": 0.1, \"seed\": 1}}",
	"{\"all\": true}",
	"{\"a\": {\"x\": null, \"y\": [1.5, {\"$bytes\": \"AP8=\"}]}, \"b\": 3}",
};
static const char *const queries[] = { "", "?wait=false", "?wait=true&brief=1", "?limit=2" };

/* With `segment` for "*" of the path. */
static void put_request(struct lw_buf *out, struct api_row row, const char *segment,
			const char *query, const char *body)
{
	const char *star = strchr(row.path, '*');
	size_t size = star != NULL ? (size_t)(star - row.path) : strlen(row.path);

	lw_buf_printf(out, "%s /api/v1/%.*s%s%s%s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
		      row.method, (int)size, row.path, star != NULL ? segment : "",
		      star != NULL ? star + 1 : "", query, strlen(body), body);
}

static void request_seeds(struct api_row row)
{
	const char *segment = strncmp(row.path, "runs", 4) == 0 ? "1" : "train";
	/* What it speaks of is there: a run that failed, and one that did not. */
	static const char first[] =
		"POST /api/v1/works/train/run HTTP/1.1\r\nContent-Length: 12\r\n\r\n{\"args\":[1]}"
		"POST /api/v1/works/train/run HTTP/1.1\r\nContent-Length: 12\r\n\r\n{\"args\":[2]}";

	for (size_t i = 0; i < LW_COUNT(bodies) * LW_COUNT(queries); i++) {
		const char *query = queries[i % LW_COUNT(queries)];
		const char *body = bodies[i / LW_COUNT(queries)];
		LW_AUTO_BUF alone = { 0 };
		LW_AUTO_BUF behind = { 0 };

		put_request(&alone, row, segment, query, body);
		lw_buf_add(&behind, first, sizeof(first) - 1);
		put_request(&behind, row, segment, query, body);
		put_request(&behind, row, "t%C3%A4glich%20%22x%22%2Fy", query, bodies[0]);
		put_request(&behind, row, "again", query, body);
		write_seed("http", row.path, lw_buf_slice(&alone));
		write_seed("api", row.path, lw_buf_slice(&behind));
	}
}

#define TOKEN "0123456789abcdef0123456789abcdef" /* of fuzz_http.c */

static void spelling_seeds(void)
{
	/* clang-format off */
	static const char *const requests[] = {
		"PATCH /api/v1/state HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7;x=y\r\n{\"a\": 1\r\n1\r\n}\r\n0\r\nT: x\r\n\r\n",
		"PATCH /api/v1/state HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
		"GET http://localhost/api/v1/status HTTP/1.0\r\nConnection: close\r\n\r\n",
		"GET /api/v1/works/%zz HTTP/1.1\n\n",
		"DELETE /api/v1/state HTTP/1.1\r\n\r\nGET /view HTTP/1.1\r\n\r\n",
		"POST /api/v1/works/train/run HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{",
		"GET / HTTP/2.0\r\n\r\n",
		"GET /view HTTP/1.1\r\nHost: 127.0.0.1:7501\r\nCookie: a=b; lw_7501=" TOKEN "\r\n"
		"Sec-Fetch-Site: same-origin\r\nIf-None-Match: \"0123456789abcdef\"\r\n\r\n",
		"GET /view?token=" TOKEN "&x HTTP/1.1\r\nHost: [::1]:7501\r\nSec-Fetch-Site: cross-site\r\n\r\n",
		"POST /api/v1/works/train/run HTTP/1.1\r\nHost: lw.example\r\nOrigin: http://lw.example\r\n"
		"Cookie: lw_7501=" TOKEN "\r\nContent-Length: 2\r\n\r\n{}",
		"GET /metrics HTTP/1.1\r\nHost: 10.0.0.1:7501\r\nAuthorization: Bearer " TOKEN "\r\n\r\n",
		"GET /api/v1/events?after=1.2 HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 17.4\r\n\r\n",
		"GET /readyz HTTP/1.1\r\nHost: evil.example\r\nOrigin: null\r\n\r\n",
	};
	/* clang-format on */

	for (size_t i = 0; i < LW_COUNT(requests); i++) {
		write_seed("http", "spelling", slice_of(requests[i]));
		write_seed("api", "spelling", slice_of(requests[i]));
	}
}

static void request_dictionary(const char *target)
{
	/* clang-format off */
	static const char *const words[] = {
		"HTTP/1.1\r\n", "HTTP/1.0\r\n", "\r\n\r\n", "0\r\n\r\n", "Content-Length: ",
		"Transfer-Encoding: ", "chunked", "Connection: ", "close", "Expect: ", "100-continue",
		"Host: ", "Origin: http://", "Cookie: lw_7501=", "Authorization: Bearer ", "Sec-Fetch-Site: ",
		"same-origin", "cross-site", "If-None-Match: ", "Last-Event-ID: ", "127.0.0.1", "[::1]",
		"localhost", "lw.example", "/view", "?token=", TOKEN, "/metrics", "/readyz", "/healthz", "after",
		"/api/v1/", "works/train/", "works/again/", "runs/1", "wait", "brief", "limit", "args",
		"kwargs", "all", "seed", "true", "false", "null", "$bytes", "$float", "$int", "\\u0000",
	};
	/* clang-format on */
	FILE *dictionary = open_dictionary(target);

	add_words(dictionary, words, LW_COUNT(words));
	for (size_t i = 0; i < api_row_count(); i++) {
		const char *star = strchr(api_row(i).path, '*');

		add_word(dictionary, slice_of(api_row(i).method));
		add_word(dictionary,
			 slice_of(star != NULL && star[1] != '\0' ? star + 1 : api_row(i).path));
	}
	fclose(dictionary);
}

/* ---- the journal ---------------------------------------------------------------------------------------- */

/* [work, version, [positional], {named}] */
static void put_call(struct lw_buf *out, bool sample)
{
	lw_put_list(out, 4);
	lw_put_cstr(out, "train");
	lw_put_nil(out);
	lw_put_list(out, sample ? 1 : 0);
	if (sample)
		put_sample(out);
	lw_put_map(out, 1);
	lw_put_cstr(out, "lr");
	lw_put_float(out, 0.1);
}

/* A run that came to this stage in its third attempt. */
static void put_row_seed(enum stage stage, bool sample, struct lw_buf *rows, struct lw_buf *batch)
{
	struct work work = { .row = 1 };
	struct runs *runs = runs_new(7);
	LW_AUTO_BUF form = { 0 };
	LW_AUTO_BUF call = { 0 };
	LW_AUTO_BUF past = { 0 };
	struct run_row row;
	struct run *run;

	put_call(&form, false);
	put_call(&call, sample);
	run = run_new(runs, &work, (struct lw_key){ 1, 2 }, lw_buf_slice(&form),
		      lw_buf_slice(&call), FROM_API, 1000);
	run->flags = STORE_RUN_KEPT | STORE_RUN_UNDELIVERED;
	for (int attempt = 1; sample && attempt < 3; attempt++) {
		run_move(run, STAGE_RUNNING, NULL, NULL, 1000 * attempt);
		run_move(run, STAGE_PENDING, "retry 1 of 3", "exit status 3: no luck",
			 2000 * attempt);
	}
	run_move(run, stage, stage == STAGE_FAILED ? "timeout" : NULL, NULL, 9000);
	if (stage == STAGE_SUCCEEDED)
		run_set_result(run, lw_buf_slice(&form));
	run_to_row(run, &past, &row);
	run_row_put(rows, &row);
	store_put_run_new(batch, &row);
	store_put_run(batch, &row);
	run_unref(run);
	runs_free(runs);
}

static void row_seeds(void)
{
	for (int stage = STAGE_PENDING; stage < STAGES_N; stage++)
		for (int sample = 0; sample < 2; sample++) {
			LW_AUTO_BUF rows = { 0 };
			LW_AUTO_BUF batch = { 0 };

			put_row_seed((enum stage)stage, sample != 0, &rows, &batch);
			write_seed("row", stage_name((enum stage)stage), lw_buf_slice(&rows));
			write_seed("batch", stage_name((enum stage)stage), lw_buf_slice(&batch));
		}
}

static void batch_seed(void)
{
	const struct work_row work = { .id = 1, .name = slice_of("train"), .held = true };
	const struct worker_row worker = { .id = 1,
					   .work = 1,
					   .incarnation = 3,
					   .pid = 4711,
					   .boot = slice_of("a boot"),
					   .token = slice_of("a token"),
					   .ready = true };
	LW_AUTO_BUF batch = { 0 };
	LW_AUTO_BUF rows = { 0 };

	store_put_work(&batch, &work);
	store_put_worker(&batch, &worker);
	store_put_applied(&batch, 1, 12);
	put_row_seed(STAGE_SUCCEEDED, false, &rows, &batch);
	store_put_flags(&batch, 8, 0);
	store_put_state(&batch, 1, slice_of("data"),
			slice_of("\xa3"
				 "day"));
	store_put_state(&batch, 0, slice_of("data"), (struct lw_slice){ 0 });
	store_put_mark(&batch, slice_of("hourly"), 1000000);
	store_put_pause(&batch, &(struct pause_row){ 1, 1000000, slice_of("uid 0 pid 1") });
	store_put_pause(&batch, &(struct pause_row){ .work = 0 });
	store_put_worker_gone(&batch, 1);
	write_seed("batch", "one of each", lw_buf_slice(&batch));
}

/* ---- files of what was printed --------------------------------------------------------------------- */

static void log_seeds(void)
{
	static const struct lw_logfile_line lines[] = {
		{ .at = INT64_C(1764115561123456), .pid = 812, .run = 1 },
		{ .at = INT64_C(1764115561123456), .pid = 812, .run = 1, .err = true },
		{ .at = INT64_C(1764115562000000), .pid = 812, .more = true },
		{ .at = INT64_C(1764115562000000), .err = true },
	};
	static const uint8_t heads[][3] = {
		{ 0, 255, 0 }, { 128, 3, 0 }, { 255, 2, 1 }, { 60, 5, 2 }, { 128, 1, 16 }
	};

	for (size_t i = 0; i < LW_COUNT(heads); i++) {
		LW_AUTO_BUF seed = { 0 };
		char name[16];

		lw_buf_add(&seed, heads[i], sizeof(heads[i]));
		for (size_t k = 0; k < 3 * LW_COUNT(lines); k++) {
			char head[LW_LOGFILE_HEAD_MAX];

			lw_buf_add(&seed, head, lw_logfile_head(&lines[k % LW_COUNT(lines)], head));
			lw_buf_printf(&seed, "line %zu%s", k,
				      k == 5 ? "\nno line of ours\n\n" : "\n");
		}
		seed.size -= i % 3; /* its end is torn */
		snprintf(name, sizeof(name), "%zu", i);
		write_seed("logread", name, lw_buf_slice(&seed));
	}
}

int main(int argc, char **argv)
{
	static const char *const binary[] = { "frame", "message", "call", "row", "batch" };
	FILE *dictionary;

	if (argc != 2) {
		fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
		return 2;
	}
	root = argv[1];
	make_folder(root);
	messages();
	vectors();
	nested();
	for (size_t i = 0; i < LW_COUNT(binary); i++) {
		dictionary = open_dictionary(binary[i]);
		add_heads(dictionary);
		add_specials(dictionary);
		fclose(dictionary);
	}
	option_seeds(work_options, false);
	option_seeds(app_options, true);
	example_seeds();
	flow_seeds();
	conf_dictionary();
	for (size_t i = 0; i < api_row_count(); i++)
		request_seeds(api_row(i));
	spelling_seeds();
	request_dictionary("http");
	request_dictionary("api");
	row_seeds();
	batch_seed();
	log_seeds();
	printf("%zu seeds\n", count);
	return 0;
}
