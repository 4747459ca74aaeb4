/* criterion.h - stands in for Criterion where valgrind runs the unit tests (LW_PLAIN_TESTS).
 *
 * The same tests, each in a forked process, without the twenty libraries that Criterion brings
 * and that valgrind would have to take in anew for every test: a second a test, and nothing
 * learned by it. What our tests use of Criterion is here, by the same names; plain.c has main().
 */
#ifndef LW_PLAIN_CRITERION_H
#define LW_PLAIN_CRITERION_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_options {
	int line;
	void (*init)(void);
	void (*fini)(void);
	int exit_code;
	double timeout; /* left to ctest: valgrind is slow */
	const char *description;
	bool disabled;
};

void plain_test_add(const char *suite, const char *name, void (*test)(void),
		    const struct plain_options *options);
void plain_suite_add(const char *suite, const struct plain_options *options);

/* `fatal`: ends the test. The message, a format and its arguments, is optional; NULL ends it. */
void plain_failed(bool fatal, const char *file, int line, const char *what, ...);
_Noreturn void plain_skip(const char *format, ...);

#define Test(suite, name, ...)                                                                     \
	static void suite##_##name(void);                                                          \
	static const struct plain_options plain_of_##suite##_##name = { .line = __LINE__,          \
									__VA_ARGS__ };             \
	__attribute__((constructor)) static void suite##_##name##_joins(void)                      \
	{                                                                                          \
		plain_test_add(#suite, #name, suite##_##name, &plain_of_##suite##_##name);         \
	}                                                                                          \
	static void suite##_##name(void)

#define TestSuite(suite, ...)                                                                      \
	static const struct plain_options plain_of_##suite = { .line = __LINE__, __VA_ARGS__ };    \
	__attribute__((constructor)) static void suite##_joins(void)                               \
	{                                                                                          \
		plain_suite_add(#suite, &plain_of_##suite);                                        \
	}                                                                                          \
	struct plain_options

#define PLAIN(fatal, condition, what, ...)                                                         \
	((condition) ? (void)0                                                                     \
		     : plain_failed(fatal, __FILE__, __LINE__, what, ##__VA_ARGS__, (char *)NULL))

/* clang-format off */
#define cr_assert(c, ...)              PLAIN(true, c, #c, ##__VA_ARGS__)
#define cr_assert_not(c, ...)          PLAIN(true, !(c), "not " #c, ##__VA_ARGS__)
#define cr_assert_null(p, ...)         PLAIN(true, (p) == NULL, #p " is null", ##__VA_ARGS__)
#define cr_assert_not_null(p, ...)     PLAIN(true, (p) != NULL, #p " is not null", ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...)        PLAIN(true, (a) == (b), #a " == " #b, ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...)       PLAIN(true, (a) != (b), #a " != " #b, ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...)        PLAIN(true, (a) < (b), #a " < " #b, ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...)       PLAIN(true, (a) <= (b), #a " <= " #b, ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...)        PLAIN(true, (a) > (b), #a " > " #b, ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...)       PLAIN(true, (a) >= (b), #a " >= " #b, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)    PLAIN(true, strcmp(a, b) == 0, #a " is " #b, ##__VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)   PLAIN(true, strcmp(a, b) != 0, #a " is not " #b, ##__VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) PLAIN(true, memcmp(a, b, n) == 0, #a " has " #b, ##__VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) PLAIN(true, fabs((a) - (b)) <= (e), #a " is about " #b, ##__VA_ARGS__)
#define cr_assert_fail(...)            PLAIN(true, false, "fails", ##__VA_ARGS__)
#define cr_expect(c, ...)              PLAIN(false, c, #c, ##__VA_ARGS__)
#define cr_expect_not(c, ...)          PLAIN(false, !(c), "not " #c, ##__VA_ARGS__)
#define cr_expect_null(p, ...)         PLAIN(false, (p) == NULL, #p " is null", ##__VA_ARGS__)
#define cr_expect_not_null(p, ...)     PLAIN(false, (p) != NULL, #p " is not null", ##__VA_ARGS__)
#define cr_expect_eq(a, b, ...)        PLAIN(false, (a) == (b), #a " == " #b, ##__VA_ARGS__)
#define cr_expect_neq(a, b, ...)       PLAIN(false, (a) != (b), #a " != " #b, ##__VA_ARGS__)
#define cr_expect_lt(a, b, ...)        PLAIN(false, (a) < (b), #a " < " #b, ##__VA_ARGS__)
#define cr_expect_leq(a, b, ...)       PLAIN(false, (a) <= (b), #a " <= " #b, ##__VA_ARGS__)
#define cr_expect_gt(a, b, ...)        PLAIN(false, (a) > (b), #a " > " #b, ##__VA_ARGS__)
#define cr_expect_geq(a, b, ...)       PLAIN(false, (a) >= (b), #a " >= " #b, ##__VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)    PLAIN(false, strcmp(a, b) == 0, #a " is " #b, ##__VA_ARGS__)
#define cr_expect_str_neq(a, b, ...)   PLAIN(false, strcmp(a, b) != 0, #a " is not " #b, ##__VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) PLAIN(false, memcmp(a, b, n) == 0, #a " has " #b, ##__VA_ARGS__)
#define cr_skip_test(...)              plain_skip(__VA_ARGS__)
/* clang-format on */

#endif
