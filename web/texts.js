// The words of the panels, in the languages of the pack; nodes and commands are translated by ComfyUI, from locales/.

import { app } from '../../scripts/app.js'

const TEXTS = {
  en: {
    words: '{count} words',
    syllables: '{count} syllables',
    open: '{counted}: about {need} s',
    fits: '{counted}: about {need} s of {clip} s',
    pauses: '{counted}: about {need} s of {clip} s, with long pauses',
    tooShort: '{counted} need about {need} s, the clip has {clip} s: too short',
    noWords: 'Write what is said',
    soundAlone: 'No words: the described sound alone',
    linked: 'The words come through a link: known after the run',
    ideal: 'Best: 3 to 5 s of one voice, close, without music',
    continue: 'Continue this clip',
    selectClip: 'Select a Save Talking Video node whose clip is to go on.',
    notSaved: 'Run first: there is no clip yet.',
    noModel: 'There is no Load UniTalking Model in this graph; one was added.',
    player: 'Position in the clip; arrow keys move by a frame',
    late: 'sound {ms} ms late',
    early: 'sound {ms} ms early',
    together: 'sound and mouth together',
    untold: 'offset: cannot be told',
    silent: 'no sound',
    sound: 'sound',
    mouth: 'mouth'
  },
  zh: {
    words: '{count} 个词',
    syllables: '{count} 个音节',
    open: '{counted}：约 {need} 秒',
    fits: '{counted}：约 {need} 秒，片段 {clip} 秒',
    pauses: '{counted}：约 {need} 秒，片段 {clip} 秒，停顿会较长',
    tooShort: '{counted}约需 {need} 秒，片段只有 {clip} 秒，太短',
    noWords: '请填写台词',
    soundAlone: '没有台词：只生成描述的声音',
    linked: '台词来自连线，运行后才能估算',
    ideal: '建议：一个人近距离说话，3 到 5 秒，无背景音乐',
    continue: '续写此片段',
    selectClip: '请选择要续写的“保存说话视频”节点。',
    notSaved: '还没有片段，请先运行。',
    noModel: '工作流中没有“加载 UniTalking 模型”，已添加一个。',
    player: '片段的播放位置；方向键逐帧移动',
    late: '声音晚 {ms} 毫秒',
    early: '声音早 {ms} 毫秒',
    together: '声音与口型一致',
    untold: '偏移无法判断',
    silent: '没有声音',
    sound: '声音',
    mouth: '口型'
  },
  ja: {
    words: '{count} 語',
    syllables: '{count} 音節',
    open: '{counted}：約 {need} 秒',
    fits: '{counted}：約 {need} 秒（クリップ {clip} 秒）',
    pauses: '{counted}：約 {need} 秒（クリップ {clip} 秒）。間が長くなります',
    tooShort: '{counted}には約 {need} 秒必要です。クリップは {clip} 秒で、短すぎます',
    noWords: 'セリフを入力してください',
    soundAlone: 'セリフなし：説明した音だけを生成します',
    linked: 'セリフは接続元から入力されます（長さは実行後に分かります）',
    ideal: '推奨：一人の声を近くで 3～5 秒、音楽なし',
    continue: 'クリップの続きを作る',
    selectClip: '続きを作りたい「トーキングビデオを保存」ノードを選択してください。',
    notSaved: 'まだクリップがありません。先に実行してください。',
    noModel: 'ワークフローに「UniTalking モデルを読み込む」がないため、追加しました。',
    player: 'クリップの再生位置。矢印キーで 1 フレームずつ移動',
    late: '音声が {ms} ms 遅れています',
    early: '音声が {ms} ms 先行しています',
    together: '音声と口の動きが一致',
    untold: 'ずれは判定できません',
    silent: '無音',
    sound: '音声',
    mouth: '口の開き'
  },
  ko: {
    words: '단어 {count}개',
    syllables: '음절 {count}개',
    open: '{counted}: 약 {need}초',
    fits: '{counted}: 약 {need}초, 클립 {clip}초',
    pauses: '{counted}: 약 {need}초, 클립 {clip}초, 쉬는 시간이 길어집니다',
    tooShort: '{counted}에 약 {need}초가 필요하지만 클립은 {clip}초로 너무 짧습니다',
    noWords: '대사를 입력하세요',
    soundAlone: '대사 없음: 설명한 소리만 생성합니다',
    linked: '대사가 연결로 들어옵니다. 길이는 실행 후 알 수 있습니다',
    ideal: '권장: 한 사람의 목소리를 가까이에서 3~5초, 음악 없이',
    continue: '이 클립 이어 만들기',
    selectClip: '이어서 만들 “토킹 비디오 저장” 노드를 선택하세요.',
    notSaved: '아직 클립이 없습니다. 먼저 실행하세요.',
    noModel: '워크플로에 “UniTalking 모델 불러오기”가 없어 추가했습니다.',
    player: '클립의 재생 위치. 화살표 키로 한 프레임씩 이동',
    late: '소리가 {ms} ms 늦음',
    early: '소리가 {ms} ms 빠름',
    together: '소리와 입 모양이 일치',
    untold: '어긋남을 판단할 수 없음',
    silent: '소리 없음',
    sound: '소리',
    mouth: '입 벌림'
  }
}

/** The text of a key in ComfyUI's language (English where there is none), its {names} filled in. */
export function text(key, values = {}) {
  const language = String(app.extensionManager?.setting?.get('Comfy.Locale') ?? 'en').split('-')[0]
  const words = (TEXTS[language] ?? TEXTS.en)[key]
  return words.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole)
}
