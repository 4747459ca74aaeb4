/* train_model.c - a work in C: learns the region of a place from its coordinates.
 *
 * Softmax regression by gradient descent on quadratic features of the place as a point on
 * the unit sphere (sines and cosines of its coordinates). Every fifth place is held out and
 * measures what was learned, against always guessing the commonest region. Nothing is random:
 * the same data gives the same model. Started by lw-supervisor (app.conf).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lw_worker.h"

#define PLACES_MAX  1024
#define REGIONS_MAX 16
#define FEATURES    10
#define EPOCHS      1500
#define RATE        2.0
#define HELD_OUT    5 /* every fifth */

struct place {
	double features[FEATURES];
	size_t region;
};

struct model {
	char regions[REGIONS_MAX][32];
	size_t region_count;
	struct place places[PLACES_MAX];
	size_t count;
	double weights[REGIONS_MAX][FEATURES];
};

static bool is_held_out(size_t n)
{
	return n % HELD_OUT == 0;
}

static size_t region_of(struct model *model, const char *name)
{
	size_t n = 0;

	while (n < model->region_count && strcmp(model->regions[n], name) != 0)
		n++;
	if (n == model->region_count && n < REGIONS_MAX) {
		snprintf(model->regions[n], sizeof(model->regions[n]), "%s", name);
		model->region_count++;
	}
	return n < REGIONS_MAX ? n : REGIONS_MAX - 1;
}

static void set_features(double *features, double latitude, double longitude)
{
	const double degree = 3.14159265358979323846 / 180;
	double x = cos(latitude * degree) * cos(longitude * degree);
	double y = cos(latitude * degree) * sin(longitude * degree);
	double z = sin(latitude * degree);
	const double all[FEATURES] = { 1, x, y, z, x * x, y * y, z * z, x * y, y * z, x * z };

	memcpy(features, all, sizeof(all));
}

static int read_places(struct lw_run *run, struct model *model, const char *path)
{
	FILE *file = fopen(path, "re");
	double latitude, longitude;
	char region[32];

	if (file == NULL)
		return lw_fail(run, "cannot open '%s'", path);
	while (model->count < PLACES_MAX &&
	       fscanf(file, "%lf,%lf,%31[^\n]", &latitude, &longitude, region) == 3) {
		struct place *place = &model->places[model->count++];

		set_features(place->features, latitude, longitude);
		place->region = region_of(model, region);
	}
	fclose(file);
	return model->count >= 2 * HELD_OUT ? 0 : lw_fail(run, "too few places in '%s'", path);
}

/* How likely the model takes each region to be. */
static void guess(const struct model *model, const struct place *place, double *chances)
{
	double highest = -INFINITY, sum = 0;

	for (size_t r = 0; r < model->region_count; r++) {
		chances[r] = 0;
		for (size_t f = 0; f < FEATURES; f++)
			chances[r] += model->weights[r][f] * place->features[f];
		highest = fmax(highest, chances[r]);
	}
	for (size_t r = 0; r < model->region_count; r++)
		sum += chances[r] = exp(chances[r] - highest);
	for (size_t r = 0; r < model->region_count; r++)
		chances[r] /= sum;
}

static void learn_once(struct model *model)
{
	double slopes[REGIONS_MAX][FEATURES] = { { 0 } };
	double chances[REGIONS_MAX];

	for (size_t n = 0; n < model->count; n++) {
		const struct place *place = &model->places[n];

		if (is_held_out(n))
			continue;
		guess(model, place, chances);
		chances[place->region] -= 1;
		for (size_t r = 0; r < model->region_count; r++)
			for (size_t f = 0; f < FEATURES; f++)
				slopes[r][f] += chances[r] * place->features[f];
	}
	for (size_t r = 0; r < model->region_count; r++)
		for (size_t f = 0; f < FEATURES; f++)
			model->weights[r][f] -= RATE * slopes[r][f] / (double)model->count;
}

static int learn(struct lw_run *run, struct model *model)
{
	for (int epoch = 0; epoch < EPOCHS; epoch++) {
		if (lw_stopping(run))
			return lw_fail(run, "asked to stop");
		learn_once(model);
		lw_progress(run, (double)(epoch + 1) / EPOCHS);
	}
	return 0;
}

static size_t largest(const double *values, size_t count)
{
	size_t best = 0;

	for (size_t n = 1; n < count; n++)
		best = values[n] > values[best] ? n : best;
	return best;
}

struct verdict {
	int64_t trained, held_out;
	double accuracy, baseline;
	const char *commonest; /* region among the places that were learned from */
};

static struct verdict measure(const struct model *model)
{
	struct verdict verdict = { 0 };
	double counts[REGIONS_MAX] = { 0 };
	double chances[REGIONS_MAX];
	int right = 0, commonest_right = 0;
	size_t commonest;

	for (size_t n = 0; n < model->count; n++)
		counts[model->places[n].region] += is_held_out(n) ? 0 : 1;
	commonest = largest(counts, model->region_count);
	for (size_t n = 0; n < model->count; n += HELD_OUT) {
		guess(model, &model->places[n], chances);
		right += largest(chances, model->region_count) == model->places[n].region;
		commonest_right += commonest == model->places[n].region;
		verdict.held_out++;
	}
	verdict.trained = (int64_t)model->count - verdict.held_out;
	verdict.accuracy = (double)right / (double)verdict.held_out;
	verdict.baseline = (double)commonest_right / (double)verdict.held_out;
	verdict.commonest = model->regions[commonest];
	return verdict;
}

static void pack_name(msgpack_packer *packer, const char *name)
{
	msgpack_pack_str(packer, strlen(name));
	msgpack_pack_str_body(packer, name, strlen(name));
}

/* The same as result, for the flow, and as state, for whoever looks. */
static void tell(struct lw_run *run, const struct verdict *verdict)
{
	msgpack_sbuffer buffer;
	msgpack_packer packer;

	msgpack_sbuffer_init(&buffer);
	msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
	msgpack_pack_map(&packer, 5);
	pack_name(&packer, "trained");
	msgpack_pack_int64(&packer, verdict->trained);
	pack_name(&packer, "held_out");
	msgpack_pack_int64(&packer, verdict->held_out);
	pack_name(&packer, "accuracy");
	msgpack_pack_double(&packer, verdict->accuracy);
	pack_name(&packer, "baseline");
	msgpack_pack_double(&packer, verdict->baseline);
	pack_name(&packer, "commonest");
	pack_name(&packer, verdict->commonest);
	lw_return(run, &buffer);
	msgpack_sbuffer_destroy(&buffer);
	lw_set_float(run, "accuracy", verdict->accuracy);
	lw_set_float(run, "baseline", verdict->baseline);
}

static int train(struct lw_run *run, void *data)
{
	struct model *model = data;
	const msgpack_object *path = lw_arg_at(run, 0);
	struct verdict verdict;
	char name[4096];
	int r;

	if (path == NULL || path->type != MSGPACK_OBJECT_STR)
		return lw_fail(run, "the name of the data is missing");
	snprintf(name, sizeof(name), "%.*s", (int)path->via.str.size, path->via.str.ptr);
	memset(model, 0, sizeof(*model));
	r = read_places(run, model, name);
	if (r == 0)
		r = learn(run, model);
	if (r != 0)
		return r;
	verdict = measure(model);
	tell(run, &verdict);
	return 0;
}

int main(void)
{
	static struct model model;

	return lw_work_main(&(struct lw_work){ .run = train }, &model);
}
