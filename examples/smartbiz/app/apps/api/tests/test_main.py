import unittest

import main


class AnswerTest(unittest.TestCase):
    def test_health(self):
        self.assertEqual(main.answer("/healthz"), (200, {"status": "ok"}))

    def test_unknown_path(self):
        self.assertEqual(main.answer("/nothing")[0], 404)


if __name__ == "__main__":
    unittest.main()
