"""Whether blanks separate words."""

import pytest

from rnn.text.segmentation import Blanks

MISSING = {
    "Chinese": ["这部电影非常好看，我很喜欢。", "演员的表演很差。"],
    "short Chinese": ["很好", "不错"],
    "phrases": ["东西不错 下次再买 好评"],
    "Japanese": ["この映画はとても面白かったです。"],
    "Thai": ["ภาพยนตร์เรื่องนี้ดีมาก ฉันชอบมาก"],
    "mixed": ["这部电影非常好看 by Kurosawa, very good"]}
PRESENT = {
    "Chinese": ["这 部 电影 非常 好看 , 我 很 喜欢", "演员 的 表演 很 差 。"],
    "Japanese": ["この 映画 は とても 面白かっ た です 。"],
    "Thai": ["ภาพยนตร์ เรื่อง นี้ ดี มาก ฉัน ชอบ มาก"],
    "Korean": ["한국어 영화 좋아요"],
    "English": ["a fine film", ""],
    "a title": ["七人の侍 is a great film by Kurosawa, and I saw it twice"],
    "nothing": []}


@pytest.mark.parametrize("name", MISSING)
def test_words_without_blanks(name):
  assert counted(MISSING[name]).missing


@pytest.mark.parametrize("name", PRESENT)
def test_words_with_blanks(name):
  assert not counted(PRESENT[name]).missing


def counted(texts):
  blanks = Blanks()
  for text in texts:
    blanks.add(text)
  return blanks
