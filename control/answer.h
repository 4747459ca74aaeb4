/* answer.h - members of a JSON answer. What is not there, or of another type, is NULL, 0 or false. */
#ifndef LW_CONTROL_ANSWER_H
#define LW_CONTROL_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

static inline const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static inline double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static inline int64_t count_of(const json_t *object, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(object, key));
}

static inline bool has(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return value != NULL && !json_is_null(value);
}

/* Of an array; "" for what is not there. */
static inline const char *string_at(const json_t *array, size_t i)
{
	const char *text = json_string_value(json_array_get(array, i));

	return text != NULL ? text : "";
}

/* As text_of(), but "" for what is not there. */
static inline const char *text_in(const json_t *object, const char *key)
{
	const char *text = text_of(object, key);

	return text != NULL ? text : "";
}

#endif
