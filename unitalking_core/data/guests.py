"""Guests: voices that lend nothing but their sound. They speak other languages, or are espeak-ng's other characters, and no clip is theirs.

Whoever learns to speak in a voice that was never heard saying the words needs many voices, and no words of theirs: a loss that
compares voices alone (`training.likeness`) is content with recordings of anything. So engines that know no English help, too.

On disk: `<corpus>/guests/NAME_K.safetensors` (waveform int16 at SAMPLE_RATE, 2.2 to 4 s), RECORDINGS of every guest. Guest i depends on
i alone. Left out are voices whose licence forbids commercial use or changed works, and all that are close to a held-out speaker.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..conditions.recording import RecordingError
from ..conditions.voice import prepare_voice
from .engines import ENGINES, FESTIVAL_VOICES, recorded
from .sentences import draw
from .speakers import Speaker, stranger
from .speech import changed
from .utterances import write_tensors
from .waveforms import SAMPLE_RATE, SpeechError, to_int16
from .workers import side_by_side

LOG = logging.getLogger(__name__)

RECORDINGS = 3
SECONDS = (2.2, 4.0)
ATTEMPTS = 3
WORDS_SPOKEN = 9
VARIANTS_EVERY = 5
"""A round in so many has espeak-ng's characters, too: they are many and much alike."""
PICO_LANGUAGES, RHVOICE_VOICES = Path("/usr/share/pico/lang"), Path("/usr/share/RHVoice/voices")
INSTALL = (
    "apt-get install rhvoice rhvoice-russian rhvoice-ukrainian rhvoice-kyrgyz rhvoice-esperanto rhvoice-brazilian-portuguese "
    "libttspico-utils festival festvox-czech-dita festvox-czech-krb festvox-czech-machac festvox-czech-ph festvox-italp16k "
    "festvox-itapc16k festvox-suopuhe-lj festvox-suopuhe-mv festvox-ca-ona-hts festvox-ru espeak-ng"
)

WORDS = {
    "ru": "сегодня погода хорошая мы идём гулять парк мой брат купил новую лодку красное яблоко старый доктор поёт песню вечером зима снег "
    "море девочка читает книгу друг кошка спит окно",
    "uk": "сьогодні гарна погода ми йдемо гуляти парк мій брат купив новий човен червоне яблуко старий лікар співає пісню вечір зима сніг "
    "море дівчина читає книгу друг кішка спить вікно",
    "ky": "бүгүн аба жакшы биз паркка баратабыз менин агам жаңы кайык сатып алды кызыл алма кыз китеп окуйт дос мышык терезе кыш кар деңиз "
    "жол тоо",
    "eo": "hodiaŭ la vetero estas bela ni promenas en la parko mia frato aĉetis novan boaton ruĝa pomo la maljuna kuracisto kantas vespere "
    "vintro neĝo maro knabino legas libron amiko kato dormas fenestro",
    "pt": "hoje o tempo está bonito vamos passear no parque meu irmão comprou um barco novo maçã vermelha o velho médico canta à noite "
    "inverno neve mar menina lê um livro amigo gato dorme janela",
    "it": "oggi il tempo è bello andiamo a passeggiare nel parco mio fratello ha comprato una barca nuova mela rossa il vecchio dottore "
    "canta la sera inverno neve mare la bambina legge un libro amico gatto dorme finestra",
    "cs": "dnes je pěkné počasí jdeme na procházku do parku můj bratr koupil novou loď červené jablko starý doktor zpívá večer zima sníh "
    "moře dívka čte knihu přítel kočka spí okno",
    "fi": "tänään on kaunis ilma menemme kävelylle puistoon veljeni osti uuden veneen punainen omena vanha lääkäri laulaa illalla talvi "
    "lumi meri tyttö lukee kirjaa ystävä kissa nukkuu ikkuna",
    "ca": "avui fa bon temps anem a passejar pel parc el meu germà ha comprat una barca nova poma vermella el metge vell canta al vespre "
    "hivern neu mar la nena llegeix un llibre amic gat dorm finestra",
    "de": "heute ist das wetter schön wir gehen im park spazieren mein bruder hat ein neues boot gekauft roter apfel der alte arzt singt "
    "am abend winter schnee meer das mädchen liest ein buch freund katze schläft fenster",
    "fr": "aujourd hui il fait beau nous allons au parc mon frère a acheté un nouveau bateau pomme rouge le vieux docteur chante le soir "
    "hiver neige mer la fille lit un livre ami chat dort fenêtre",
    "es": "hoy hace buen tiempo vamos a pasear por el parque mi hermano compró un barco nuevo manzana roja el viejo médico canta por la "
    "noche invierno nieve mar la niña lee un libro amigo gato duerme ventana",
}


@dataclass(frozen=True)
class Guest:
    """`language` of WORDS, or "en"; `encoding` is what the engine reads."""

    engine: str
    voice: str
    language: str
    encoding: str = "utf-8"

    def installed(self) -> bool:
        if not all(shutil.which(program) for program in ENGINES[self.engine].programs):
            return False
        if self.engine == "festival":
            return any(FESTIVAL_VOICES.parent.glob(f"*/{self.voice}"))
        places = {"rhvoice": RHVOICE_VOICES / self.voice, "pico": PICO_LANGUAGES / f"{self.voice}_ta.bin"}
        return self.engine not in places or places[self.engine].exists()

    def say(self, text: str, rate: float) -> np.ndarray:
        """float32 (N,) at SAMPLE_RATE. Raises SpeechError."""
        if self.engine != "festival":
            return ENGINES[self.engine].say(self.voice, text, rate)
        setup = f"(begin (voice_{self.voice}) (Parameter.set 'Duration_Stretch {1 / rate:.4f}))"
        return recorded(["text2wave", "-eval", setup, "-o", "OUT"], text, self.encoding)


NATURAL = (
    *(Guest("rhvoice", name, "ru") for name in ("anna", "elena", "irina", "aleksandr", "aleksandr-hq")),
    *(Guest("rhvoice", name, "uk") for name in ("anatol", "natalia")),
    *(Guest("rhvoice", name, "ky") for name in ("azamat", "nazgul")),
    Guest("rhvoice", "spomenka", "eo"),
    Guest("rhvoice", "Leticia-F123", "pt"),
    *(Guest("festival", f"czech_{name}", "cs", "iso-8859-2") for name in ("dita", "krb", "machac", "ph")),
    *(Guest("festival", f"{name}_diphone", "it", "iso-8859-1") for name in ("lp", "pc")),
    *(Guest("festival", name, "fi", "iso-8859-1") for name in ("hy_fi_mv_diphone", "suo_fi_lj_diphone")),
    Guest("festival", "upc_ca_ona_hts", "ca", "iso-8859-15"),
    Guest("festival", "msu_ru_nsh_clunits", "ru"),
    *(Guest("pico", name, name[:2]) for name in ("de-DE", "es-ES", "fr-FR", "it-IT")),
)

_CHARACTERS = (
    "adam Alex Alicia Andrea Andy Annie AnxiousAndy anika anikaRobot announcer antonio aunty benjamin boris caleb croak david "
    "Demonic Denis Diogo ed edward2 f1 Gene2 grandpa gustave Henrique iven2 iven3 iven4 Jacky john kaukovalta klatt klatt2 klatt3 "
    "klatt5 klatt6 Lee linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo Marco Mario max Michael michel miguel Mike norbert pablo paul pedro "
    "quincy RicishayMax RicishayMax2 RicishayMax3 rob robert robosoft robosoft2 robosoft3 robosoft4 robosoft5 robosoft6 robosoft7 "
    "robosoft8 sandro shelby travis Tweaky UniRobot zac"
)
ACCENTS = ("en-us", "en-gb", "en-gb-scotland")
VARIANTS = tuple(Guest("espeak", f"{ACCENTS[i % 3]}+{name}", "en") for i, name in enumerate(_CHARACTERS.split()))
"""Neither training speakers nor held-out ones, nor those named like them."""


def guest(index: int) -> tuple[Guest, Speaker]:
    """Guest number `index`: whose voice, and how it is changed. In the first round nobody is, later all are, as strangers are."""
    turn, place = 0, index
    while place >= len(people := NATURAL + VARIANTS * (turn % VARIANTS_EVERY == 0)):
        turn, place = turn + 1, place - len(people)
    name = f"guest{index:06d}"
    plain = Speaker(name, people[place].engine, people[place].voice, "man", 1.0, ("",))
    return people[place], plain if turn == 0 else stranger(random.Random(name), plain, name)


def record(folder: Path, index: int) -> bool:
    """Make the recordings of a guest that are not there. False where the engine is missing or there are not two that can be used."""
    who, speaker = guest(index)
    if not who.installed():
        return False
    for number in range(RECORDINGS):
        path = folder / f"{speaker.name}_{number}.safetensors"
        if path.exists():
            continue
        rng, reason = random.Random(f"{speaker.name} {number}"), f"all were shorter than {SECONDS[0]} s"
        for _ in range(ATTEMPTS):
            spoken = _spoken(rng, who.language)
            try:
                voice = changed(speaker, who.say(spoken, speaker.rate / speaker.shift))
                ready = prepare_voice(torch.from_numpy(np.ascontiguousarray(voice))[None], SAMPLE_RATE, SAMPLE_RATE, SECONDS[1])
            except (SpeechError, RecordingError) as error:
                reason = str(error)
                continue
            if ready.seconds >= SECONDS[0]:
                write_tensors(path, {"waveform": to_int16(ready.waveform[0].numpy())})
                break
        else:
            LOG.info("%s (%s) has %d recordings; the next failed: %s", speaker.name, who.voice, number, reason)
            return number > 1
    return True


def _spoken(rng: random.Random, language: str) -> str:
    if language == "en":
        return f"{draw(rng, 'voice')}, {draw(rng, 'voice')}"
    return " ".join(rng.sample(WORDS[language].split(), WORDS_SPOKEN)) + "."


def prepare_guests(corpus: Path, count: int, workers: int = 1) -> int:
    """Record so many guests under `corpus`, or those that are missing; returns how many there are.

    Raises SpeechError without any, ValueError for what is no corpus, and for counts below 1.
    """
    if count < 1:
        raise ValueError(f"there must be at least 1 guest, got {count}")
    if not (corpus / "manifest.jsonl").is_file():
        raise ValueError(f"{corpus} is no corpus: manifest.jsonl is missing")
    absent = sorted({f"{who.engine} {who.voice}" for who in NATURAL if not who.installed()})
    if absent:
        LOG.warning("guests are left out (%s); to have all: %s", ", ".join(absent), INSTALL)
    folder = corpus / "guests"
    folder.mkdir(parents=True, exist_ok=True)
    with side_by_side(workers) as each:
        made = sum(each(_task, [(folder, index) for index in range(count)]))
    if not made:
        raise SpeechError(f"no guest could be recorded; to have their engines: {INSTALL}")
    return made


def _task(task: tuple[Path, int]) -> bool:
    return record(*task)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="unitalking prepare guests", description="Record voices that no clip is spoken by.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--count", type=int, default=420)
    parser.add_argument("--workers", type=int, default=2)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = parser.parse_args(arguments)
    LOG.info("%d guests are there", prepare_guests(options.corpus, options.count, options.workers))
