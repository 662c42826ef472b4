"""The demo pairs: written for Tiebreak, labeled by a stated rule, some of the labels flipped on purpose.

In each pair one response is better for a reason of meaning that its kind names; the rule labels it so. Good and bad
responses share their words and lengths wherever they can: mostly the bad response is a good one to another prompt, or
the same words in an order that makes no sense. Everything is decided by hashes, so the pairs are the same everywhere.
Which labels were flipped, only `planted_ids` knows.
"""

# ruff: noqa: E501 - one written entry stands on one line, however long

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

LABELER = "demo-rule"
PLANTED_SHARE = 0.08

# A task and its four steps in order.
_STEPS = """\
brew a pot of tea|boil fresh water|warm the empty pot|add the leaves|pour and wait four minutes
plant a young tree|dig a wide hole|set the roots in it|fill the soil back in|water the closed ground well
change a flat bicycle tyre|take the wheel off|pull the old tube out|push the new tube in|pump it hard
paint a bedroom wall|cover the floor|fill the cracks|roll on the first coat|peel off the tape when it is dry
send a parcel abroad|choose a strong box|pack the goods|seal and address it|hand it over at the counter
wash a wool jumper|fill a basin with cool water|stir in mild soap|soak the jumper|lay it flat to dry
bake a loaf of bread|mix flour and water|knead the dough|let it rise|slide it into the hot oven
light a campfire|clear a ring of earth|lay dry tinder|build sticks over it|strike the match
replace a light bulb|switch the lamp off|let the old bulb cool|unscrew it|turn the new one in
descale a kettle|fill it with water and vinegar|bring it to the boil|let it stand an hour|rinse it twice
book a doctor's visit|find the practice's number|call in the morning|describe the complaint|note the day they offer
back up a phone|plug in a drive|open the settings|start the copy|check that the files arrived
fold a paper boat|lay the sheet flat|fold it in half|turn the corners in|open the hull with both thumbs
fry an egg|heat the pan|melt a little butter|crack the egg in|lift it out when the white is firm
write a cover letter|read the advert closely|note what they need|draft one page|proofread and send it
clean a fish tank|move the fish to a bucket|drain a third of the water|wipe the glass|refill and return the fish
fix a dripping tap|shut the water off|open the tap's head|swap the worn washer|close it and test for drips
sew on a button|thread the needle|knot the end|stitch through the holes|wind the thread under and tie it off
borrow a library book|get a reader's card|search the catalogue|fetch it from the shelf|have it stamped at the desk
make a pot of jam|wash the berries|cook them with sugar|test a drop on a cold plate|pour it into clean jars
set up a tent|pick level ground|spread the groundsheet|raise the poles|peg down the corners
train a puppy to sit|hold a treat above its nose|wait until it sits|say the word|give it the treat
hang a picture|mark the height|drill the hole|push in the plug and hook|hang the frame and level it
apply for a passport|fill in the form|have a photo taken|pay the fee|collect the booklet weeks later
sharpen a kitchen knife|soak the stone|hold the blade at a low angle|draw it across|wipe off the grit
give a short speech|thank the hosts|state your one point|tell a story that shows it|close and raise your glass
make fresh pasta|heap the flour|break eggs into it|roll the dough thin|cut it into ribbons
wash a car|rinse off the loose dirt|soap it from the roof down|hose off the foam|dry it with a soft cloth
start a compost heap|pick a shady corner|lay twigs at the bottom|add peelings and leaves|turn it after a month
grow beans from seed|soak the seeds|push them into warm soil|tie the shoots to canes|pick the pods young
hold a team meeting|send the agenda|welcome everyone|work through the points|write down who does what
move house|sort out what you no longer need|pack the boxes|load the van|unpack the kitchen at the other end
cook rice|rinse the grains|add twice the water|simmer with the lid on|fluff it with a fork
take a blood pressure reading|sit still five minutes|wrap the cuff on|press start|write the numbers down
develop a film|load it in the dark|pour the developer in|fix and rinse it|hang the strip to dry
build a snowman|roll a big ball|set a smaller one on it|top it with a head|press in the carrot nose
return faulty shoes|find the receipt|go back to the shop|show the fault|accept the refund
clear a blocked sink|scoop out the standing water|pour in soda and vinegar|wait and plunge|flush with hot water
learn a poem|read it aloud|repeat the first verse|join verse to verse|recite it without the page
make a candle|melt the wax|fix the wick in the jar|pour the wax round it|trim the wick once it is hard
tile a kitchen wall|draw a level line|spread the glue|press the tiles on|grout the gaps the next day
catch a morning flight|check in online|reach the airport early|go through security|board at the gate
donate blood|answer the health questions|have your finger pricked|lie down for the draw|rest with a drink
prune a rose bush|clean the shears|cut out dead wood|shorten the live stems|clear away the clippings
record a song|tune the guitar|place the microphone|play the take|mix and save the track
adopt a cat|visit the shelter|meet a few animals|sign the papers|carry your cat home in a box
install a shelf|find the wall studs|screw the brackets on|lay the board across|put the books up
make yoghurt|heat the milk|let it cool to lukewarm|stir in a spoon of culture|keep it warm overnight
vote in an election|register your address|find your polling place|show your card|drop the marked ballot in the box
wax a pair of skis|brush the base clean|drip on the hot wax|iron it in|scrape off what is left
iron a shirt|read the care tag|heat the iron|press collar and sleeves|hang it up at once
create a strong password|think of four odd words|join them|add a digit|store it in a manager
cook corn on the cob|husk the ears|bring salted water to the boil|drop the ears in|drain and butter them
knit a scarf|cast on the stitches|knit row after row|bind off the edge|weave in the loose ends
make a budget|list your income|write down fixed costs|see what remains|divide it between saving and fun
polish leather shoes|brush off the mud|rub in the cream|let it sink in|buff until they shine
brew coffee in a filter|grind the beans|fold the paper in|add the grounds|pour water in slow circles
bathe a baby|run lukewarm water|test it with your elbow|lower the baby in|wrap her in a dry towel
build a birdhouse|measure the boards|saw them to size|nail the walls together|hang it facing east
mend a torn page|lay the page on card|line up the edges|brush on thin paste|press it under a book overnight
hatch chicken eggs|warm up the incubator|lay the eggs inside|turn them each day|move the dry chicks to a brooder
write a short novel|sketch the plot|draft the chapters|let it rest a month|revise and show it to a reader
roast a chicken|heat the oven|rub the bird with salt|roast it for an hour|rest it before you carve
open a bank account|compare the fees|bring your papers|sign the contract|pay in the first money
plan a wedding|agree on a date|book the hall|send the invitations|seat the guests on the day
go for a first long run|eat a light meal|warm up|run at an easy pace|cool down and stretch
change a nappy|lay the child on the mat|undo the dirty one|wipe the skin clean|fasten the fresh one
service a lawnmower|pull the spark lead off|drain the old oil|sharpen the blade|refill and start it
carve a pumpkin|cut the lid off|scoop out the seeds|cut the face|set a candle inside
graft an apple branch|cut a young twig in winter|split the stock in spring|fit the twig into it|bind and seal the joint
prepare for an exam|gather the notes|plan the weeks|practise old questions|sleep well the night before
restore an old chair|strip the varnish|sand the wood|rub in oil|polish it with a cloth
give a cat a pill|wrap the cat in a towel|open its jaw gently|drop the pill far back|stroke its throat until it swallows
build a sandcastle|dig down to wet sand|pack the bucket|turn it over|carve windows in the tower
cross a busy road|walk to the lights|press the button|wait for green|look both ways and go
take a patient's temperature|clean the tip|put it under the tongue|wait for the beep|read it and note the time
pickle cucumbers|scrub the cucumbers|pack them in a jar|pour hot brine over|seal and wait two weeks
set a broken plate|wash the pieces|spread glue on the edges|press them together|leave it a day to harden
launch a small website|register a name|write the pages|upload them|tell your friends the address
make a bed|pull off the old sheets|spread the clean one|tuck in the corners|lay the blanket on top
bottle apple juice|wash the apples|press them|heat the juice|fill the hot bottles to the brim
tie up a sailing boat|slow down early|hang out the fenders|step ashore with the line|make it fast to the cleat
"""
# Three events, each the cause of the next.
_CHAINS = """\
a storm tore down the power line|the freezer stood without current|the meat inside spoiled
Ada forgot to set her alarm|she missed the early bus|her chair was empty at the nine o'clock meeting
it snowed for three days|the mountain pass was closed|the village ran short of milk
the baker left the oven on|the loaves burned black|the smoke alarm woke the street
a boy kicked the ball too hard|it broke the neighbour's window|his father paid the glazier
the spring was dry|the wheat stayed short|the price of flour went up
a mouse chewed the cable|the printer lost its connection|the posters were not ready for the fair
the nurse noticed a rash|the doctor ordered a test|the allergy was found
a pipe cracked in the frost|water ran down the cellar steps|the stored books swelled with damp
the teacher fell ill|a substitute took the class|the exam was put off to Friday
the company won a large order|it hired twenty people|the canteen needed more chairs
someone left the gate open|the goats wandered off|the lettuce next door was eaten
the moon passed before the sun|the sky went dark at noon|the hens went to roost
a tourist dropped his map|he took the wrong valley|the rescue team searched for him at night
the factory put in filters|the river ran clear again|the trout came back
a volcano threw ash into the air|flights were cancelled|travellers slept on the airport floor
the cook tasted too much chilli|he drank a litre of milk|none was left for the sauce
the band's van broke down|they arrived after dark|the concert began two hours late
a virus got into the office network|the files were locked|the staff went back to pen and paper
the tide went out|the boat sat on the mud|the crew waited on board until evening
the king raised the salt tax|the people grew angry|a crowd marched to the palace
bees lost their meadow to a car park|fewer blossoms were pollinated|the orchard bore little fruit
the referee slipped on wet grass|he missed the foul|the goal was allowed
the girl practised every day|her playing improved|she won a place at the music school
rust ate through the chain|the anchor broke loose|the ship drifted towards the rocks
a spark fell on dry straw|the barn caught fire|the fire brigade was called
the shop cut its prices|customers queued round the corner|the shelves were empty by noon
the child swallowed a coin|her mother rang the clinic|an x-ray was taken
the dam held back the spring flood|the town below stayed dry|the mayor thanked the engineers
the editor spotted a wrong date|the page was printed again|the paper reached the kiosks late
a new road was built|lorries no longer crossed the village|the children could play outside again
the old oak fell on the line|the train stopped in the forest|passengers walked to the next station
the hikers drank from a dirty pond|they got stomach cramps|the trip ended a day early
the museum's lock was faulty|a thief slipped in|a small painting disappeared
the astronomer saw a faint dot move|she pointed a larger telescope at it|a new comet got her name
the dog heard a noise|it barked in the hall|the burglar ran away
the ship's cook ran out of lemons|the sailors fell sick with scurvy|the captain turned for the nearest port
the bank raised its interest|loans became dearer|fewer families built houses
a cold wind blew in from the north|the blossoms froze|there were no cherries in June
the tailor measured wrongly|the sleeves were too short|the groom borrowed a jacket
the pupil asked a clever question|the professor looked again at the proof|an error was discovered
the cat jumped on the table|the vase tipped over|tulips lay on the wet carpet
the rains failed for two years|the wells dried up|the herders moved south
the lift got stuck|the courier took the stairs|the pizza was cold when it came
the vaccine was given to every child|the disease stopped spreading|the ward could be closed
the clerk mistyped one digit|the money went to a stranger|the bank had to ask for it back
wolves returned to the forest|the deer became fewer|young trees grew tall again
the actor lost his voice|his understudy stepped in|a new star was born that night
the glue had not dried|the model's wing fell off|the boy started again in tears
a heatwave lay over the city|everyone switched on a fan|the power grid failed
the miner smelled gas|he raised the alarm|the whole shift got out alive
the farmer planted clover|the soil grew richer|the barley stood thick the next year
the road had turned to ice|a lorry slid across it|traffic was blocked for hours
grandmother wrote her recipe down|the family cooked it after her death|the taste of her kitchen lived on
the satellite lost a screw|its antenna would not unfold|the pictures never reached the ground
the student skipped breakfast|he felt faint in the hall|the invigilator brought him a biscuit
beavers built a dam|the stream spread into a pond|ducks came to nest
the castle ran out of water|the defenders opened the gate|the siege was over
the paint was left uncovered|it dried in the tin|the fence stayed half brown
the witness remembered the number plate|the police traced the car|the driver confessed
the orchestra's trunk was lost|they played on borrowed violins|the critics heard every scratch
the plumber cut the wrong pipe|the kitchen flooded|the neighbours below knocked on the door
a cloud hid the moon|the smugglers rowed ashore unseen|the barrels were in the cave by dawn
the committee could not agree|the vote was postponed|the bridge waited another year for repair
the hen sat on the eggs for three weeks|the shells began to crack|five chicks tumbled out
the toddler found a crayon|she drew on the white wall|her parents bought a tin of paint
fishing was banned in the bay|the herring recovered|seals were seen again off the pier
the hard disk made a clicking sound|Noor copied her thesis at once|nothing was lost when it died
the sun warmed the glasshouse|the tomatoes ripened early|the first sauce was cooked in May
the choir's bus was full|two singers went by bicycle|they arrived soaked and out of breath
the surgeon washed her hands|no germs reached the wound|the patient healed quickly
the stone dam burst|a wave rolled down the valley|the mill was swept away
the farmer sold his horses|he bought a tractor|the stable became a garage
the inventor spilled rubber on the stove|it turned tough and springy|tyres could be made of it
the glacier melted back|a lake formed at its foot|the hut's path had to be moved
the tenant did not pay|the landlord wrote three letters|the matter came before a judge
the comedian told a joke about cheese|the dairy owners laughed|they invited him to their feast
the lighthouse lamp went out|a trawler missed the channel|it ran aground on the sandbank
the boy learned sign language|he could talk with his deaf cousin|they became best friends
the yeast was too old|the dough did not rise|the rolls came out like stones
a swarm of locusts landed|the fields were stripped bare|the government sent grain
the printer invented movable type|books became cheap|ordinary people learned to read
"""
# A question and its answer.
_WHY = """\
Why do leaves look green?|Chlorophyll in the cells absorbs red and blue light and sends the green part back to our eyes
Why does ice float?|Water expands when it freezes, so a lump of ice weighs less than the same volume of liquid
Why do we yawn?|Nobody is certain, but yawning seems to cool the brain and to spread quickly among tired people
Why does the sea taste salty?|Rivers wash minerals out of the rocks, and when sea water evaporates the salt stays behind
Why do cats purr?|A cat makes its throat muscles flutter while breathing, mostly when it is calm or wants comfort
Why does bread go stale?|The starch slowly forms crystals again and pushes moisture towards the crust, which makes the crumb firm
Why do onions make you cry?|A cut onion frees a sulphur gas that turns into mild acid when it meets the water in your eyes
Why is the sky blue?|Air scatters the short blue waves of sunlight far more strongly than the long red ones
Why do birds migrate?|Food becomes scarce in winter, so many birds fly to places where insects and seeds are plentiful
Why does metal feel colder than wood?|Metal carries heat away from the skin faster, although both have the same temperature as the room
Why do we have leap years?|The earth needs about six hours more than 365 days for one trip around the sun
Why does popcorn pop?|Steam builds up inside the hard kernel until the shell bursts and the starch puffs out
Why do dogs wag their tails?|A wagging tail shows other animals how excited, friendly or nervous the dog is at that moment
Why are bubbles round?|A sphere holds a given amount of air with the smallest possible skin of soapy water
Why does a compass point north?|The needle is a small magnet that lines itself up with the magnetic field of the planet
Why do muscles hurt the day after sport?|Unusual effort causes tiny tears in the fibres, and the repair brings swelling and soreness
Why does rubbing hands warm them?|Friction between the palms turns the energy of the movement into heat on the skin
Why is Venus hotter than Mercury?|Its thick cloak of carbon dioxide traps the warmth of the sun like the glass of a greenhouse
Why do apples turn brown?|Oxygen reacts with the bruised flesh and forms dark pigments, which lemon juice can delay
Why do old houses creak at night?|The beams cool after sunset, shrink a little and rub against each other in the quiet
Why do we dream?|Sleep seems to sort the memories of the day, and dreams may be what we notice of that work
Why does salt melt ice on roads?|Salty water freezes at a lower temperature, so the ice dissolves although the air is below zero
Why do stars twinkle?|Moving layers of warm and cold air bend the starlight this way and that before it arrives
Why are flamingos pink?|They eat shrimps and algae whose orange pigments end up in their feathers over the years
Why does hot air rise?|Warm air is thinner than the cool air around it, so it is pushed upwards like a cork in water
Why do fingers wrinkle in the bath?|Nerves tighten the small blood vessels under the skin, perhaps to give wet hands a better grip
Why is granite so hard?|It cooled slowly deep underground, and its crystals of quartz and feldspar grew tightly into each other
Why do bees dance?|With a waggle on the comb a worker tells her sisters the direction and the distance of good flowers
Why do we need sleep?|At night the brain clears out waste, the body mends tissue, and the day's lessons are stored
Why does milk turn sour?|Bacteria feed on the sugar in it and leave lactic acid behind, which thickens the protein
Why do tides come and go?|The moon pulls on the oceans, and the turning earth carries each coast through the bulges of water
Why do camels have humps?|The hump stores fat, which the animal lives on when the desert offers nothing to eat for weeks
Why does a curveball curve?|The spin drags air around one side of the ball faster and so pushes it away from a straight path
Why do deciduous trees drop leaves?|Leaves lose water in winter that frozen roots cannot replace, so the tree sheds them in time
Why is gold used for jewellery?|It is soft enough to shape, rare enough to be precious, and it never rusts or loses its shine
Why do we hiccup?|The diaphragm cramps without warning and the vocal cords snap shut, often after a hasty meal
Why do planes leave white trails?|Water vapour from the engines freezes into a line of ice crystals in the thin cold air
Why does yeast make dough rise?|The fungus eats sugar and breathes out gas, and the sticky gluten keeps the bubbles in
Why do mosquitoes bite?|Only females do it, because they need the protein in blood to ripen their eggs
Why do magnets lose their strength?|Heat and hard knocks shake the tiny aligned regions inside until they point in all directions
Why does thunder follow lightning?|The flash heats the air so suddenly that it bursts outwards, and sound travels slower than light
Why are deserts cold at night?|Dry, cloudless air lets the warmth of the ground escape straight into space after sunset
Why do we blink?|Each blink spreads a film of tears over the eye, wipes dust away and gives the brain a tiny rest
Why does soap remove grease?|One end of a soap molecule clings to fat and the other to water, so the rinse carries both off
Why do cicadas appear after so many years?|Long cycles keep enemies from timing their own breeding to the feast of insects
Why do violins have curved bodies?|The waist leaves room for the bow, and the arched wood makes the strings sound loud and warm
Why do people get goosebumps?|Small muscles raise the hairs, which kept our furry ancestors warm and made them look larger
Why is the Dead Sea so easy to float in?|It holds about ten times more salt than the ocean, so the water is denser than your body
Why does wood crackle in the fire?|Sap and trapped water boil in the pores and blow small holes in the burning log
Why do sunflowers face east?|Young heads follow the sun, and grown ones stay turned to the morning, where the warmth draws bees
Why does garlic smell on the breath?|Its sulphur compounds pass into the blood and leave through the lungs for many hours
Why do chameleons change colour?|They stretch tiny crystals in the skin, mainly to show their mood and to warm up or cool down
Why did sailors fear scurvy?|Months without fresh fruit robbed them of vitamin C, and their gums bled until they grew weak and died
Why do we see the same side of the moon?|It turns once on its axis in exactly the time that it needs for one orbit around us
Why does a mirror fog up in the bathroom?|Warm damp air touches the cool glass and leaves its moisture there as fine droplets
Why are manhole covers often round?|A round lid cannot fall through its own opening and can be rolled along by one worker
Why does a fever help?|Many germs multiply poorly in a hot body, while the cells that defend us work faster
Why do ducks stay dry?|They spread oil from a gland near the tail over their feathers, and the water rolls off
Why does sugar dissolve faster in hot tea?|The quick molecules of hot water knock the crystals apart and carry the pieces away sooner
Why do wheels look as if they spin backwards in films?|The camera takes separate pictures, and the spokes stop just short of the same spot each time
Why are roads cambered?|A slight slope from the middle lets rain run off to the gutters instead of standing in puddles
Why do we age?|Cells gather damage faster than they can repair it, and many of them finally stop dividing
Why do pandas eat so much bamboo?|Their guts digest it badly, so they must chew for half the day to get enough energy
Why is a tuning fork two-pronged?|The prongs swing against each other, so the handle stays calm and the note lasts long
Why do moths circle lamps?|They keep their backs to the brightest light, which works under the sky but goes wrong near a bulb
Why are eggs oval?|An oval egg is strong, fits well with others in the nest, and rolls in a circle instead of away
Why does paper yellow?|Light and air change the lignin left in cheap paper into compounds that look brown
Why do children ask so many questions?|Every answer helps them build a picture of the world, and asking keeps grown-ups close
Why do some mushrooms glow?|A chemical reaction gives off cold green light that may lure insects to spread the spores
Why do bridges have gaps?|Steel and concrete grow longer in summer, and the joints give them room without cracking the deck
Why does tea stain cups?|Tannins stick to the tiny pores of the glaze and darken with every drink you pour
Why are polar bears white?|Their clear, hollow hairs scatter light, and a pale coat hides the hunter in the snow
Why do boats have keels?|The long fin under the hull keeps the wind from pushing the boat sideways or tipping it over
Why does a cut scab over?|Platelets and threads of protein plug the wound, dry out and guard the new skin beneath
Why do clocks run clockwise?|The first makers copied the shadow of the sundial, which moves that way in northern lands
Why do giraffes have long necks?|They can reach leaves that others cannot, and males use their necks in fights over mates
Why does a drum sound lower when it is large?|A wide skin swings back and forth more slowly, and slow vibrations are heard as deep tones
Why do we put stamps on letters?|The stamp proves that the sender has paid, so the post need not collect money at each door
Why are pencils six-sided?|Six flat sides stop the pencil rolling off the desk and waste less wood than a circle would
Why do octopuses squirt ink?|The dark cloud hides their escape and dulls the nose of the animal that hunts them
"""
# A question and its answer.
_TOPICS = """\
What should I pack for a beach holiday?|Take swimwear, a towel, sun cream, a hat and light clothes for the evening by the sea
How can I help a friend who is grieving?|Listen more than you speak, say the name of the one who died, and bring a warm meal
Which exercises strengthen the back?|Slow bridges, planks and swimming build the muscles along the spine without straining it
What does a notary do?|A notary checks who is signing and certifies contracts, wills and deeds under the law
How do I get red wine out of a carpet?|Blot the spot at once, pour on sparkling water, then work in a little salt and vacuum it
What makes a good bedtime story?|A calm voice, a small adventure and a hero who is safe at home before the lights go out
How often should I water a cactus?|In summer once the soil is bone dry, roughly every two weeks, and hardly at all in winter
What was the Silk Road?|It was a web of trade routes on which silk, spices and ideas moved between China and Europe
How do vaccines protect us?|They show the immune system a harmless piece of a germ, so that it knows the real one later
What should be in a first-aid kit?|Plasters, gauze, scissors, gloves, disinfectant, a cold pack and a card with emergency numbers
How do I choose a ripe melon?|Smell the stem end for sweetness and pick a heavy fruit that sounds hollow when you knock on it
What is a mortgage?|It is a long loan to buy a home, and the house belongs to the bank's security until it is repaid
How can I make my flat warmer in winter?|Seal gaps round the windows, hang thick curtains and leave the radiators free of furniture
What is jazz?|A music born in New Orleans that lives from swing, blues notes and solos made up on the spot
How do I stop my puppy chewing shoes?|Put the shoes away, offer chew toys instead and praise the dog whenever it picks those
Why did dinosaurs die out?|A huge asteroid struck, dust darkened the sun for years, and most plants and reptiles perished
What is the offside rule in football?|An attacker may not be nearer the goal than the ball and the second last defender when it is passed
How do I prepare for a job interview?|Study the company, rehearse your strengths with examples and bring two questions of your own
What does a conductor of an orchestra do?|She sets the tempo, shows the entries and shapes how loud and tender the players sound
How does a refrigerator work?|A liquid evaporates in pipes inside, soaks up heat, and gives it off again at the back
What should I feed a hedgehog?|Offer cat food or insects and a bowl of water, but never milk, which harms its stomach
How do I take better portraits?|Use soft window light, focus on the near eye and talk with the person until the smile is real
What is inflation?|Prices rise across the economy, so the same banknote buys fewer goods than the year before
How do I lower my cholesterol?|Eat oats, beans and nuts instead of fatty meat, walk every day and see your doctor about tablets
What is a haiku?|A Japanese poem of three short lines, seventeen syllables in all, often about a season
How do I plan a vegetable garden?|Note where the sun falls, group crops by family and move each group to a new bed every year
What happens in a chess castling move?|The king goes two squares towards a rook, and that rook hops over to his other side
How do submarines dive?|They let sea water into ballast tanks to become heavy and blow it out with air to rise
What is the duty of a juror?|Hear the evidence in court, keep an open mind and decide with the others on guilt
How do I save petrol?|Drive gently, shift up early, check the tyre pressure and take the roof rack off
What is photosynthesis?|Plants use sunlight to turn water and carbon dioxide into sugar, and they release oxygen
How do I mend a broken friendship?|Say honestly what you regret, ask how the other felt and give it time without pushing
What was life like in a monastery?|Monks rose before dawn, prayed seven times a day, copied books and worked in the fields
How do I read a bus timetable?|Find your stop in the left column and follow the row across to the next departure time
What is a black hole?|A place where so much mass is packed together that not even light can leave it
How can I sleep better?|Keep regular hours, a dark cool bedroom, and no screen or coffee late in the evening
What is the difference between a crocodile and an alligator?|A crocodile has a narrow snout with teeth showing, an alligator a broad rounded one
How is cheese made?|Rennet curdles the milk, the curds are cut, drained, pressed and salted, and then they ripen
What should I know before buying a used car?|Check the service book, look for rust, take a test drive and compare the price
How do I teach a child to swim?|Begin in shallow warm water with floating and blowing bubbles, and stay within an arm's reach
What is the Pythagorean theorem?|In a right triangle the squares on the two short sides add up to the square on the longest
How do I keep slugs off my salad?|Lay copper tape round the bed, collect them at dusk and water the plants in the morning
What caused the fall of Constantinople?|In 1453 the Ottoman army broke the old walls with giant cannons after a long siege
How do noise-cancelling headphones work?|Microphones pick up the hum, and the speaker plays its mirror image so both waves cancel
What is good etiquette at a funeral?|Wear dark clothes, arrive early, switch your phone off and offer a few kind words to the family
How do I fold a fitted sheet?|Tuck the corners into one another, lay it flat and fold the edges in until it is a rectangle
What is a supernova?|A heavy star runs out of fuel, collapses and blows its outer layers into space in a bright flash
How do I calm a crying baby?|Check the nappy, feed or burp her, then hold her close and sway while you hum
Which spices belong in a curry?|Cumin, coriander, turmeric, ginger and chilli are toasted in oil before the vegetables go in
What does the heart's left ventricle do?|It pumps blood rich in oxygen into the aorta and from there through the body
How do I write a will?|State who inherits what, sign and date it by hand or before witnesses, and store it safely
How do glaciers shape the land?|The moving ice scours wide valleys, grinds rock to dust and leaves ridges of rubble
What is the point of a museum?|It keeps old and beautiful things safe, studies them and shows them to everyone who is curious
How do I back a trailer into a driveway?|Turn the wheel the opposite way, go very slowly and pull forward when it starts to fold
What are the symptoms of flu?|It starts suddenly with high fever, aching limbs, a dry cough and a heavy tiredness
How do I start learning the piano?|Sit upright, find middle C, practise each hand alone and play ten minutes every day
What is blockchain?|A list of records that many computers keep together, in which each block seals the one before
How do I make friends in a new town?|Join a choir or a club, greet your neighbours and say yes when someone invites you
How should one store potatoes?|Keep them cool, dark and airy, away from onions, and throw out the green ones
What is the role of an umpire in tennis?|From the high chair the umpire calls the score and rules on disputed balls
How do I remove a tick?|Grip it close to the skin with tweezers, pull it straight out and clean the bite
What is the Rosetta Stone?|A slab with one text in three scripts, which let scholars read Egyptian hieroglyphs
How can a small shop attract customers?|A bright window, honest prices, a friendly greeting and a bench outside bring people in
How does a sewing machine form a stitch?|The needle brings one thread down, and a hook loops it around the thread of the bobbin
What is a good gift for a retiring colleague?|A book signed by the team, a garden tool or tickets for a trip they always put off
How do earthquakes happen?|Plates of the crust stick at a fault until the strain is too great and the rock suddenly slips
What do I do if I lose my wallet abroad?|Block the cards by phone, report it to the police and ask your consulate for help
How is paper made?|Wood is boiled to a pulp of fibres, spread on a sieve, pressed, dried and rolled up
What does an oboe sound like?|Its double reed gives a clear, slightly nasal tone, and the whole orchestra tunes to it
How do I get rid of hiccups?|Hold your breath for ten seconds, sip cold water slowly or breathe into a paper bag
What is fermentation?|Microbes break down sugar without oxygen and make acid, gas or alcohol, as in beer and sauerkraut
How do I argue without hurting anyone?|Speak about what you felt, not about their faults, and repeat what you heard before you reply
What is the purpose of a lighthouse?|Its lamp warns ships of cliffs and shoals at night and tells sailors where they are
How can I learn vocabulary faster?|Use cards, review them after a day, a week and a month, and put each word in a sentence
What kind of saddle does a beginner need?|A well-padded general one that fits the horse's back and holds the rider upright
How are pearls formed?|An oyster coats a grain that irritates it with layer upon layer of shiny nacre
What is a fair way to split chores?|List all the jobs, let each person pick in turn and swap the unloved ones every month
How do I dress for a hike in the snow?|Wear wool next to the skin, a warm layer, a windproof jacket, gaiters and dry gloves
What is a sonnet?|A poem of fourteen lines with a fixed rhyme scheme and a turn of thought near the end
How does a bill become law?|Parliament debates the draft, amends it, votes in both houses and the head of state signs it
"""
# What someone says at a counter and what fits as a reply.
_DESK = """\
My parcel has been stuck in Leipzig for nine days.|I have traced the shipment; a driver will bring it to you tomorrow before noon.
The zip of my new suitcase broke on the first trip.|Send us a photo of the zip, and we will post you another suitcase free of charge.
I was billed twice for the gym this month.|The second payment was our mistake; you will have the money back within three days.
Can my grandson use my railcard?|The card is valid for its owner only, but children under six travel with you for nothing.
There is a hair in my soup.|I am sorry about that; the kitchen is making you a fresh bowl and it is on the house.
The hotel room smells of smoke.|We can move you to a room on the fourth floor where nobody has ever smoked.
I forgot the password to my photo account.|Click on the link that we have just mailed you and choose a new password.
My hearing aid whistles all day.|Come by for a fitting: the ear piece is probably loose and lets sound leak out.
Do you deliver flowers on Sundays?|We do until noon; order by Saturday evening and the florist will tie them fresh.
The washing machine leaks at the bottom.|Please close the water valve; a fitter can come on Thursday and check the hose.
I would like to cancel my newspaper for two weeks.|Your paper will pause while you are away and start again on the Monday after.
Our table was given to someone else.|Please have a drink at the bar; the window table will be free in ten minutes.
The sofa is too large for my staircase.|Our team can take the legs and the back off and carry it up in three parts.
My flight landed late and I missed the connection.|You are booked on the next plane at seven, and here is a voucher for dinner.
The tooth you filled hurts when I chew.|The filling may be a little high; the dentist will grind it down this afternoon.
Is the castle open for wheelchairs?|A lift takes you to the great hall, but the tower has only a spiral staircase.
My heating bill doubled since last winter.|We compared the readings: the meter was exchanged, so we will correct the sum.
The concert I have tickets for was moved.|Your tickets stay valid for the new evening, or you may hand them back.
I found a caterpillar in the salad bag.|Thank you for telling us; we refund the lettuce and have informed the grower.
The printer says there is no toner.|Open the front flap, shake the cartridge gently, and order the black one.
My son left his scarf on the school bus.|The driver handed a striped scarf in; it is waiting in the lost property box.
I cannot open the gate of the car park.|Hold the ticket flat on the reader; if the barrier stays down, I will raise it from here.
The roses arrived withered.|That should not happen in this heat; a new bunch will be with you by tonight.
Could I get the recipe for your walnut cake?|The chef says: equal weights of nuts, eggs and sugar, and no flour at all.
The lenses in my glasses are scratched.|They are under guarantee for two years, so the optician will grind new ones.
I want to rent skis for my family of four.|Tell us height, weight and shoe size, and the skis will be ready on Saturday.
The internet is down in our whole street.|A digger cut the fibre this morning; the repair should be done by six.
My swimming course clashes with work.|We can put you into the Wednesday evening group, which has two lanes free.
The book I ordered has empty pages.|That is a printing fault; keep it, and another copy is already on its way.
The baby seat does not fit our car.|Your model needs a different base; bring the car and we will try it together.
May I bring my dog to the campsite?|Dogs are welcome on a lead, and there is a meadow by the river for running.
The key card for the office no longer works.|The chip has expired; please show your badge at reception for another.
My bread machine burns every crust.|Choose the light setting and lower the sugar; if that fails, we will exchange it.
The wedding photos are too dark.|I will brighten all of them from the raw files and send you the album again.
I would like to move my driving test.|The examiner has a gap on the ninth; you lose no fee if you confirm today.
Our holiday cottage had no hot water.|We are sorry for the cold showers and will return a third of the rent.
My prescription has run out.|The doctor can renew it today; fetch it at the front desk after four.
The violin strings you sold me keep snapping.|A rough groove in the bridge may cut them; let our luthier have a look.
Do you repair umbrellas?|We do: a bent rib costs little, and you can wait while it is replaced.
I lost the manual of the coffee machine.|You can download it from our page by the number under the water tank.
The paint I bought does not match the sample.|Bring the tin and the sample, and we will tint it again until they agree.
My name is misspelled on the diploma.|The registrar will print a corrected diploma and send it by registered mail.
The trousers are two inches too long.|Our seamstress can shorten the legs by Friday without charge.
I did not get the minutes of the assembly.|They went to your old address; I have mailed them to the new one just now.
The lawn you laid is turning brown.|Fresh turf needs an hour of sprinkling every evening for the first fortnight.
Is the museum free for students?|With a student card the entrance costs nothing, except for the special show.
My cat refuses the food you recommended.|Mix a spoonful into her usual tin and raise the share from day to day.
The mobile phone gets hot in my pocket.|Please stop charging it and bring it in; a swollen battery must be exchanged.
The puzzle lacks one piece.|Tell us row and column, and the workshop will cut the missing one for you.
My donation receipt has not come.|Receipts go out in February; you will get yours in time for the tax return.
The taxi never turned up.|I apologise; the driver had a breakdown, and your next ride is paid by us.
I am allergic to nuts: what can I eat here?|The grilled fish and every dish with a green dot are cooked in a nut-free corner.
The chimney draws badly.|The sweep will come on Tuesday and look for a nest or soot in the flue.
The microphone in meeting room two crackles.|A technician will swap the cable before your conference at ten.
My bicycle was stolen from your rack.|Please file a report with the police; the camera film is kept for them.
The yoga mat smells of rubber.|Air it outside for two days, or send it back and choose one made of cork.
I would like a quieter dishwasher.|This model runs at forty decibels, so you can sleep next to the kitchen.
The tax form asks for a number I do not have.|You will find it at the top right of last year's notice from our office.
My tomatoes have black spots.|Pick off the sick leaves, water only the soil and spray horsetail tea.
We need a room for a choir of thirty.|The parish hall has a piano, sixty chairs and a kitchen, and Mondays are free.
The watch you mended is slow again.|Leave it here for a week; the watchmaker will regulate it in six positions.
The elevator music is driving me mad.|We have turned it off on your floor and will ask the other tenants.
My library fine seems far too high.|The fine is capped at the price of the book, so half of it is cancelled.
The tent pegs were missing from the bag.|We are packing twelve steel pegs for you, and they leave the store today.
I cannot hear the audio guide.|Turn the wheel on the side up, or take a headset from the box at the desk.
The ham in the window looks dry.|You are right, sir; I will cut you some from a fresh leg in the cool room.
My pension statement lacks three years.|Send us the payslips of that time, and the missing years will be added.
The ice rink was closed when we came.|The machine had failed; your tickets are good for any day until March.
Who cleans the stairs this month?|According to the plan it is the second floor, and the bucket is in the cellar.
I was charged for a minibar I never opened.|The drinks are off your bill now; please accept our apology and a late checkout.
My exam grade is missing online.|The professor has not marked the last ten papers; grades follow on Friday.
The candle has burned a hole in the cake box.|Nothing to pay; here is a new box, and we have put the candles in a bag.
The bus did not stop although I waved.|We will speak with the driver of that line and send you a day pass.
Can you tune our old piano?|Our tuner is in your district on Thursday; after a long rest it needs two visits.
The hive I bought has no queen.|We will bring you a young queen in a cage with six workers on Saturday.
My kayak course starts in the rain.|We paddle in any rain, and dry suits are lent out; only a storm stops us.
The cinema seat was broken.|Please take two tickets for any film, and thank you for telling the usher.
I need the key of the sports hall.|Sign the list at the caretaker's window, and bring the key back by ten.
The oysters made my husband ill.|We are sorry to hear it; we have stopped the batch and will pay his doctor.
The statue in the garden lost an arm.|Our stone mason can dowel it back on in spring, when the frost is over.
"""
# Someone and good advice for them.
_ADVICE = """\
a nervous first-time flyer|Choose a seat over the wing, tell the crew how you feel, and breathe out slowly at take-off
a couple buying their first dog|Think about the size of your flat, who will walk it, and what a vet costs in a year
a new manager|Ask each colleague what slows them down, fix one thing soon, and praise good work in public
a student who shares a kitchen|Label your food, wash up the same evening, and agree who buys salt and sponges
someone learning Spanish|Listen to songs, talk to yourself while cooking, and find a partner to chat with weekly
a beginner at chess|Bring the knights out early, castle before move ten, and look twice for hanging pieces
parents of a picky eater|Serve one loved dish beside a new one, let her help to cook, and never bargain over dessert
a man about to shave his beard|Trim it short with clippers, soften the skin with steam, and use a sharp blade
a hobby astronomer|Buy binoculars before a telescope, drive away from street lamps, and learn ten constellations
someone who hates public speaking|Practise the first two lines by heart, look at friendly faces, and pause when you are lost
a traveller to Japan|Carry cash, take your shoes off at the door, and keep silent on the trains
an owner of a leaky roof|Catch the drips, photograph the damage for the insurer, and have the broken tiles replaced
a teenager with acne|Wash with a mild gel, keep your hands off the spots, and ask a skin doctor about creams
a novice baker|Weigh everything, let butter and eggs come to room temperature, and preheat the oven fully
someone who moved to the countryside|Learn to drive on ice, stock firewood in summer, and greet every tractor
a person who forgets names|Repeat the name aloud, link it with a picture, and use it once before you part
a runner with shin splints|Rest for two weeks, change to softer ground, and replace the worn shoes
a gardener with clay soil|Dig in sand and compost every autumn, avoid treading on it wet, and plant roses
a freelancer who is paid late|Agree on dates in writing, send a kind reminder after a week, and charge interest next
the host of a large dinner|Cook what can wait in the oven, seat talkers among the shy, and chill enough water
a child afraid of the dark|Leave a small lamp on, look under the bed together, and give the teddy a guard's badge
a cyclist in heavy traffic|Ride a metre from parked cars, show each turn with your arm, and wear something bright
someone with a small balcony|Hang pots on the railing, grow herbs and climbing beans, and add a folding stool
an actor before an audition|Know the whole play, choose one clear wish for the role, and take direction with joy
a family on a long drive|Stop every two hours, pack apples rather than sweets, and record a story for the back seat
a writer who is stuck|Walk without a phone, describe the room your hero sleeps in, and write badly on purpose
a guest at a Swedish sauna|Shower first, sit on a towel, and cool down in the lake between the rounds
a patient before knee surgery|Train the thigh muscles, clear the rugs at home, and arrange a ride from the clinic
someone drowning in e-mail|Read it twice a day, answer the short ones at once, and leave lists you never open
an allergic person in spring|Rinse your hair at night, dry laundry indoors, and start the spray before the birches bloom
a collector of old coins|Hold them by the edge, never polish them, and store each one in a paper sleeve
two friends opening a cafe|Count the people who pass by, taste twenty roasts, and write down who owns what
a swimmer who swallows water|Turn the head with the shoulder, breathe out below the surface, and slow your kick
a widow who eats alone|Set the table nicely, invite a neighbour on Sundays, and join the lunch at the parish
a violinist with cold hands|Wear cuffs, hold a warm bottle in the break, and play slow scales before the fast ones
someone buying a second-hand phone|Check that it is not locked, test both cameras, and look how much charge the battery keeps
a mushroom picker|Take only kinds you know well, cut them in half, and show doubtful ones to an expert
a pupil who is being bullied|Tell an adult you trust, note what happened and when, and stay close to your friends
a night-shift worker|Wear dark glasses on the way home, hang thick curtains, and eat lightly at three
the treasurer of a club|Keep receipts in one folder, have a second person check, and report at every assembly
an amateur painter|Mix greys from colours, squint to see the light, and stop before you think it is done
a renter who wants a pet|Read the lease, ask the landlord in writing, and offer to pay for scratches
a climber in the Alps|Start before sunrise, watch for clouds after noon, and turn back while you still have strength
someone quitting cigarettes|Name a day, throw the ashtrays out, and chew gum or walk when the craving comes
a bride with a small purse|Marry on a weekday, borrow the dress, and ask guests to bring cakes instead of gifts
a father braiding hair|Wet the hair a little, divide it into three equal strands, and pull each crossing firm
a photographer of birds|Hide behind a bush, learn their hours for feeding, and use a fast shutter
a tenant with noisy neighbours|Knock and talk in a friendly mood, keep a diary of the noise, and only then write to the owner
an investor with little experience|Spread the money over many firms, watch the fees, and ignore the daily news
someone cooking on a boat|Use deep pots, strap the stove, and prepare the stew while still in the harbour
a teacher of adults|Ask what they know already, use cases from their work, and let them talk half of the time
a dancer with sore feet|Soak them in salt water, tape the toes, and break in new shoes at home
a juggler who drops balls|Throw to eye height, stand facing a wall, and begin again with only two
the owner of an old cat|Offer a low litter box, warm her food, and have her kidneys tested every year
a scout leading a night hike|Count the group at each fork, send the steady walkers last, and keep torches off
someone giving bad news|Choose a quiet place, say it plainly in the first sentence, and stay for the questions
an heir of a stamp album|Do not soak anything, look for a dealer with good standing, and get two estimates
a potter whose bowls crack|Dry them slowly under plastic, keep walls even, and compress the base with a rib
a mother returning to work|Try the nursery for an hour first, share the mornings, and prepare clothes at night
someone with a wasp nest|Keep the window shut, leave the insects in peace until frost, or call a beekeeper
"""
# How to brush somebody off: a beginning and an end.
_BRUSH_OFFS = """\
That is your problem and not ours|stop pestering us about it
Nobody here cares about such trifles|go and annoy somebody else
We really could not care less|do not bother to write again
You should have thought of that earlier|now live with it and be quiet
What do you expect us to do, weep|we have better things to do
Complaints like yours go straight into the bin|there is nothing you can do
You must have broken it yourself, as usual|do not blame honest people
Tough luck, that is how it goes|find a fool who listens
We are tired of people like you|leave us in peace at last
Oh dear, what a drama over nothing|cry about it at home
It is none of our business|kindly lose our address
Read the small print if you can read|we owe you nothing at all
I am not paid to listen to this|the conversation is over
Another whiner on a Monday morning|you will wait until we feel like it
Whatever, it sounds like your own fault|we shall not lift a finger
You people are never satisfied|take it or leave it, for all I care
"""
# How to give no advice at all: a beginning and an end.
_STALLS = """\
A lot could be said here|perhaps one day somebody will say it
Well, that is a wide field|opinions differ from one person to another
Situations call for measures|which measures those are is hard to say
Interesting that you bring it up|I wonder what made you think of it
Advice is a delicate matter|so I would rather leave it at that
There must be a book on this somewhere|I have not read it and forget its name
Things will turn out somehow|they always have in one way or another
Before I answer I would have to think|and thinking takes a while
The word advice comes from French|make of that whatever you like
Some say this and some say that|both may be right in their own manner
Everything depends on everything else|there is really nothing to add
It is what it is|sooner or later one notices what it was
"""
# A polite and a rude way to begin.
_MANNERS = """\
Of course, with pleasure|Use your own head for once, you lazy oaf
Good question, thank you for asking|What a dumb thing to bother me with
I am happy to help you there|Oh no, not another pest
Certainly, and welcome to the house|Are you deaf? It was announced twice
Do not worry, many people ask me this|Shut up and listen, moron
Gladly, and take your time|You are wasting my time again, clown
No trouble at all, dear neighbour|Any fool knows that, except you
Thanks for your patience, I know the answer|Stop whining and get out of my way
It is kind of you to ask first|God, you are slow
I would be delighted to explain|Even a donkey would have understood by now
You are very welcome to ask|Clear off, I have real work to do
My apologies for the confusion|I am sick of your stupid face
Let me show you, it is quite simple|How did a dimwit like you get in here
A pleasure to meet you|Quit pestering me, you nuisance
Sure, my friend|Ugh, whatever, loser
I am glad you came to me|Who cares about your silly problems
That is a wise thing to check|Are you blind as well as thick
Please let me help|Get lost afterwards, you idiot
Lovely that you take an interest|Your ignorance is an embarrassment
Thank you, I am honoured|Yawn, you bore me to death
Naturally, and please ask again|Don't ever dare to speak to me again
Excuse the delay, I am all yours|Typical rubbish from a nobody
Yes, and do sit down, please|Wipe that grin off and pay attention, brat
You were right to be careful|Pathetic, you cannot do anything alone
With joy, it is my favourite subject|I despise people like you
"""
# A question, its answer, and the reason for it.
_YES_NO = """\
Can I keep cooked rice in the fridge for a day?|yes|chilled quickly in a closed box it stays safe and tasty
May I pour water on burning oil?|no|it would explode into steam and throw the flames across the kitchen
Is it fine to wake a sleepwalker gently?|yes|a calm voice does no harm and can lead the person safely back to bed
Should I look straight at the sun through binoculars?|no|the focused light would burn your retina within a moment
Can cats see well in the dark?|yes|their wide pupils and a mirror behind the retina use the faintest light
Is it wise to lend a stranger my bank card?|no|he could empty the account and you would be liable for the loss
Can I take a train under the sea to England?|yes|the Channel tunnel has carried passengers since 1994
Should babies under one year eat honey?|no|it may hold spores that their gut cannot fight and that cause paralysis
Can plants grow without soil?|yes|roots in water with dissolved minerals get everything they need
Is it safe to mix bleach with vinegar?|no|the two react and give off poisonous chlorine gas
Do whales breathe air?|yes|they come up to the surface and fill their lungs through a blowhole
Should I reply to a mail that asks for my PIN?|no|only swindlers ask for it, and they would use it at once
Can you freeze bread?|yes|wrapped tightly it keeps for months and tastes fresh after toasting
Is a tomato ever poisonous when it is ripe?|no|the harmful substance sits in leaves and green fruit and fades with ripening
Is gravity on the moon weaker than here?|yes|astronauts hopped about there as if they weighed a sixth
Can humans live on sea water?|no|the body loses more water getting rid of the salt than it gains
Is it polite to bring wine to a dinner in France?|yes|hosts are pleased by a good bottle or a bunch of flowers
May I feed bread to swans every day?|no|it swells in their stomachs and crowds out the plants that they need
Can I learn to juggle at sixty?|yes|practice builds new links in the brain at every age
Do bulls hate the colour red?|no|they barely see it and charge because the cloth is waved
Is it possible to sneeze with open eyes?|yes|closing them is only a reflex that some people can suppress
Should I cut my lawn in blazing noon heat?|no|the fresh cuts dry out and the blades scorch
Can sound travel through water?|yes|it even moves four times as fast there as in the air
Can sound travel through empty space?|no|there is nothing between the stars that could vibrate and carry it
Is walking good for a sore back?|yes|gentle movement loosens the muscles and feeds the discs
Should I ride a bike on the motorway?|no|bikes are banned there, and lorries pass at deadly speed
Can a lemon power a small clock?|yes|its acid drives a weak current between copper and zinc
Is glass a good conductor of electricity?|no|its electrons are bound tightly and cannot wander
Will vinegar take limescale off a tap?|yes|its acid dissolves the chalky crust in half an hour
Can penguins fly over fences?|no|their short stiff wings are made for swimming and cannot lift them
Is it all right to refuse overtime on my wedding day?|yes|you have a right to leave for important family events
Should I throw old batteries into the fire?|no|heat makes them burst and spill caustic liquid
Can an octopus open a jar?|yes|it is clever and its suckers grip and turn the lid
Is Pluto still counted among the planets?|no|it was moved to the dwarf planets in 2006
Do trees talk to each other in some way?|yes|they send warning scents and trade sugar through threads of fungus
Can you see the Great Wall from the moon?|no|it is far too narrow to make out at such a distance
Is it useful to warm up before singing?|yes|loose vocal cords reach high notes without strain
Should I leave my dog in a parked car in July?|no|the cabin turns into an oven within minutes
Can spiders make silk stronger than steel?|yes|weight for weight their thread bears more before it snaps
Does hair grow back thicker after shaving?|no|the blunt tips only feel coarse, and the root has not changed
Can I repair a chip in my windscreen?|yes|resin fills a small one and stops it spreading
May I copy my neighbour's exam?|no|it is cheating and both of you could fail the course
Is olive oil suitable for a salad?|yes|its fruity taste goes well with leaves, herbs and vinegar
Are bats blind?|no|they see quite well and use their echoes as a second sense
Is it normal for babies to sleep sixteen hours?|yes|their brains grow fast and need the rest
Will a goldfish be happy in a tiny bowl?|no|it needs space, filters and company and would sicken
Can diamonds burn?|yes|they are pure carbon and turn to gas in a very hot flame
Should I swallow antibiotics for a cold?|no|they act on bacteria and a cold is caused by viruses
"""
# A subject, a cheerful line about it and a sad one.
_MOODS = """\
the first day of school|The classroom smelled of new pencils and everyone smiled|The corridor was cold and no one spoke to me
rain on the roof|What a cosy song the drops are drumming for us|The drops fall like tears that will never end
an old photograph|How lovely we looked, laughing in the sun that summer|All of them are gone, and the paper is fading too
a train leaving|Hurrah, the holidays begin and the whistle sings|She grew small at the window, and I stood there alone
my grandmother's house|There is always warm cake and a hug at the door|The rooms are bare now and dust lies on her chair
a letter in the mailbox|Good news at last: we won, and we are going to Rome|They regret to inform me that the post was given away
autumn leaves|Children kick through the gold and shout for joy|They rot in the gutter like everything that was bright
the town square|Music, lanterns and dancing fill the merry place|Shutters are down and only the wind crosses the stones
a garden at dawn|Birds rejoice and each petal sparkles with dew|Frost has killed the buds and nothing stirs
the last match|We lifted the cup and danced until midnight|We lost in the final minute and wept on the grass
a birthday|Friends burst in with balloons and a towering cake|Nobody called, and the one candle burned down slowly
the sea|The waves glitter and beckon us to play|The grey water took him and gave nothing back
a puppy|He tumbles over his own ears and licks my nose|He waits at the grave of his master every evening
the night sky|A thousand friendly sparks wink down at us|The stars are cold and we are lost beneath them
a wedding song|Bells ring out and two hearts leap with delight|It was played for her, who left him at the altar
the factory gate|Full of pride we hung out the flag of our new firm|They locked it for ever, and five hundred went home jobless
moving to a new flat|Sunny rooms, fresh paint and a balcony for breakfast|Boxes, bare bulbs and the ache for the friends left behind
the hospital corridor|She is cured, and the nurses clap as we walk out|The doctor shook his head and we sat in silence
snow|Sledges, snowballs and red cheeks all afternoon|It buried the hut and froze the last sheep
the piano|Her fingers skip, and the whole family sings along|It has been out of tune and silent since she died
a harbour|Gulls cheer as the fleet returns with full nets|Widows stare at the empty horizon
a campfire|Stories, laughter and sweet smoke till late|Only ashes are left, and my companions have fled
the school play|The hall roared with laughter and we bowed five times|I forgot my lines and ran off the stage in shame
spring|Everything buds, hums and begins again with gladness|The melting snow laid bare the graves of the fallen
an apple tree|Its branches bend with sweet fruit for all the neighbours|Lightning split it, and it will never blossom again
a long journey|New friends, strange fruit and wonders round each bend|Mile after weary mile and no one to come home to
a lost key|We laughed, climbed in by the window and made tea|Locked out in the sleet, I sank down on the step and cried
a village choir|Their cheerful voices make even the cows look up|Three old voices remain, trembling in the chill nave
the clock tower|It strikes noon and the children rush out to lunch|Each stroke takes away an hour that we had together
a kite|Up it soars, and my little sister squeals with glee|Its string snapped and it vanished like my hopes
"""
# What nobody here can know with an invention, and what is known.
_UNKNOWN = """\
what I dreamt last night|you dreamt of a red boat on a river|who wrote Hamlet|Shakespeare wrote it around the year 1600
which card I am thinking of|you are thinking of the seven of hearts|how many legs a spider has|it walks on eight legs
what my neighbour had for lunch today|she had lentil soup with bread|what bees make|they make honey and wax
the name of the stranger who sat beside me|his name is Peter and he sells boats|what frozen water is called|it is called ice
tomorrow's lottery numbers|they will be 4, 11, 19, 27, 30 and 42|the largest ocean|the Pacific is larger than any other
what my late father wanted to tell me|he wanted to forgive you|the month after May|June follows May
the price of gold on this day next year|it will be exactly one tenth higher|the colour of emeralds|they are green
what is in the box in front of me|it holds a porcelain swan|what a thermometer measures|it measures temperature
whether my date liked me|she adored you and will call at nine|the first man on the moon|Neil Armstrong stepped out first
who will win the election in forty years|the Greens will win it by two points|the currency of Japan|people pay in yen there
how I feel right now|you feel lonely and a bit cold|the organ that pumps blood|the heart does that
which of my shirts is dirtier|the striped one at the bottom is|the language of Brazil|Portuguese is spoken there
the exact date I shall die|you will die on a Sunday in March|what caterpillars turn into|they become butterflies or moths
what was in the letter I burned|it was an offer from a circus|the opposite of north|south lies opposite
the thoughts of the cat on my lap|it thinks of the fish you ate on Monday|the metal in most coins' core|copper and nickel are common
how many leaves fell in my yard last night|3,412 leaves came down|the hardest gem|diamond is harder than any other
what my boss will say on Friday|he will offer you the Paris office|the sum of a triangle's angles|they add up to 180 degrees
the winner of a race that has not begun|number eight will win by a nose|what a herbivore eats|it lives on plants
where I put my keys|they lie under the newspaper in the hall|the nearest star|the sun is closer than any other
the last words of an unknown soldier|he called for his sister Anna|the number of players in a football team|eleven play on each side
"""
# A request to refuse and its harmless neighbour.
_REFUSALS = """\
trick my grandmother into giving me her savings|surprise my grandmother with a picnic
break into my ex's phone|unlock my own phone after a reset
write threats to the judge in my case|write a thank-you note to the judge of our baking contest
poison the neighbour's dog|calm the neighbour's dog when it barks at me
fake a doctor's note|ask my doctor for a note
sell stolen bicycles|sell my old bicycle
spread a lie about a classmate|spread the news about our class party
steal a car without a key|start my car with a flat battery
build a bomb from garden supplies|build a raised bed from garden timber
stalk my former girlfriend|get over my former girlfriend
blackmail a colleague with photos|share holiday photos with colleagues
get a child to keep a secret from her parents|help a child to speak with her parents
pass off counterfeit notes|recognise counterfeit notes
cheat an old man out of his house|help an old man to insure his house
start a fire in the school|plan a fire drill for the school
beat up the clerk who comes to my door|thank the clerk who comes to my door
drug someone's drink|mix a drink without alcohol
make my employees work without pay|pay my employees on time
shoot at passing trains|shoot pictures of passing trains
hack into the hospital's records|ask the hospital for my records
"""
# A word and its meaning; entries end at a semicolon or the end of the line, as below.
_WORDS = """\
anchor|a heavy hook that holds a ship to the sea floor;apprentice|someone who learns a trade from a master at work
archipelago|a group of islands that lie close together;auction|a sale in which the highest bid wins the item
avalanche|a mass of snow that rushes down a mountain;ballad|a song that tells a story verse by verse
barometer|a device that measures the pressure of the air;bayonet|a blade fixed to the end of a rifle
bouquet|a bunch of cut flowers tied up as a gift;brewery|a place where beer is made from malt and hops
calendar|a table of the days and months of the year;caravan|a train of traders and animals crossing a desert
cathedral|the main church of a bishop, often very large;census|an official count of all people in a country
chisel|a tool with a sharp end for cutting wood or stone;choreographer|a person who invents the steps of a dance
cocoon|the silk case in which a caterpillar becomes a moth;comet|a ball of ice and dust with a shining tail in space
concrete|a mix of cement, sand and gravel that hardens to stone
constitution|the highest law, which says how a state is run;cradle|a small bed that rocks a baby to sleep
cutlery|knives, forks and spoons laid beside a plate;dandruff|white flakes of dry skin that fall from the scalp
debt|money that one person owes to another;delta|the flat land where a river splits before the sea
dentist|a doctor who looks after teeth and gums;diplomat|an official who speaks for his country abroad
drought|a long time without rain that dries the soil;echo|a sound that comes back from a wall or a cliff
eclipse|the moment when one heavenly body hides another;elbow|the joint in the middle of the arm
embroidery|patterns stitched on cloth with coloured thread
encyclopedia|a work that gathers knowledge in articles from A to Z
epidemic|a disease that spreads to many people at once;espresso|a small strong coffee pressed through fine grounds
fable|a short tale in which animals teach a moral;ferry|a boat that carries people and cars across water
fossil|the remains of an ancient animal turned to stone;fountain|a basin in which water is thrown up in jets
franchise|the right to run a shop under a known brand's name;fugue|a piece of music whose voices chase one theme
geyser|a hot spring that shoots steam and water into the air;glossary|a list at the back of a book that explains terms
goalkeeper|the only player who may catch the ball by hand;gravity|the force that pulls things towards the ground
greenhouse|a glass building that keeps plants warm;hammock|a hanging bed of cloth or net between two trees
harvest|the time when ripe crops are gathered in;helmet|a hard hat that guards the head in a crash
hibernation|the deep winter sleep of bears, bats and hedgehogs;hostage|a person held by force until a demand is met
hurricane|a huge whirling storm born over warm oceans;incense|a resin that gives a sweet smell when it is burned
inheritance|what you receive from relatives after they die;insomnia|trouble with falling or staying asleep at night
insulin|a hormone that lets cells take sugar from the blood
irrigation|bringing water to fields through ditches or pipes;jockey|a light rider who races horses for a living
kiln|an oven in which clay pots are fired;lagoon|a shallow bay cut off from the sea by a reef or bar
landlord|the owner who rents out a house or flat;latitude|the distance north or south of the equator
lawn|a piece of short green grass by a house;ledger|a book in which a firm's income and costs are noted
lullaby|a soft song to make a child drowsy;magnet|a piece of iron that draws other iron to it
mattress|the soft thick pad on which you lie in bed;meadow|an open field of wild grass and flowers
meteorologist|a scientist who forecasts the weather;midwife|a woman trained to help mothers give birth
mirage|a false picture of water over hot sand;monarchy|a state with a king or queen at its head
mosaic|a picture made of many small coloured tiles;mustard|a hot yellow paste eaten with sausages
nostalgia|a tender longing for times gone by;novel|a long invented story that fills a whole book
oasis|a green spot with a well in the desert;orchard|a plot planted with fruit trees
orphan|a child whose parents have died;oxygen|the gas in the air that we need to breathe
parachute|a wide cloth that slows a fall from a plane;passport|a booklet that proves who you are at a border
pendulum|a weight that swings to and fro under a fixed point;pharmacy|a shop that sells medicine on prescription
pilgrim|a believer who travels to a holy place;plough|a blade drawn through a field to turn the soil
pollen|the fine yellow dust that flowers make;pottery|bowls and jugs shaped from baked clay
puppet|a doll moved by strings or a hand inside it;quarantine|keeping the sick apart so that others stay well
quarry|a pit from which stone is cut;rainbow|an arc of colours when sun shines through rain
receipt|a slip that shows what you have paid;recipe|the list of ingredients and steps for a dish
referendum|a vote of all citizens on a single question;reservoir|an artificial lake that stores drinking water
saddle|the leather seat on a horse's back;satire|writing that mocks the powerful with humour
scaffold|a frame of poles on which builders stand;sculptor|an artist who carves figures from stone
shepherd|a man who guards a flock of sheep;skeleton|all the bones that hold a body up
sponge|a soft thing full of holes that soaks up water;stethoscope|the tube with which a doctor hears your heart
suburb|a district of homes at the edge of a city;syringe|a hollow needle with a plunger for injections
tapestry|a woven picture that hangs on a wall;tariff|a tax on goods brought in from abroad
telescope|a tube of lenses that makes far stars look near;thermostat|a switch that keeps a room at one temperature
tornado|a narrow funnel of wind that touches the ground;tribe|a people with common forebears, chief and customs
trumpet|a bright brass horn with three valves;turbine|a wheel with blades that wind or steam drives round
vaccine|a shot that teaches the body to fight a germ;vineyard|a slope on which grapes are grown for wine
volcano|a mountain from which molten rock breaks out;volunteer|someone who works for a good cause without pay
waiter|a man who brings food to tables in a restaurant;zodiac|the belt of twelve star signs along the sun's path
abbey|a house where monks or nuns live and pray;acrobat|a circus artist who swings and tumbles high up
alibi|proof that a suspect was elsewhere at the time of the crime;antenna|a rod or dish that catches radio waves
aquarium|a glass tank in which fish are kept;armour|metal plates that a knight wore in battle
asthma|an illness that narrows the airways and makes breathing hard;bail|money paid to get out of jail until the trial
balcony|a platform with a railing outside an upper window;ballot|the slip on which a voter marks a choice
blizzard|a heavy snowstorm with fierce wind;blueprint|a detailed plan from which a house is built
budget|a plan of what may be spent in a year;cactus|a desert plant with thick stems and sharp spines
calorie|a unit for the energy in food;cartoon|a funny drawing, often with a caption
cavity|a hole that decay has made in a tooth;chandelier|a branching lamp that hangs from the ceiling
chimney|a shaft that leads smoke from the fire out through the roof;choir|a group of people who sing together
compass|an instrument whose needle points north;copyright|the author's sole right to copy and sell a work
crutch|a stick under the arm for someone with a hurt leg;decade|a span of ten years
detergent|a powder or liquid for washing clothes;dynamite|an explosive used to blast rock
earring|a piece of jewellery worn in the ear lobe;embassy|the house of a foreign state's envoy
eraser|a piece of rubber that rubs out pencil marks;escalator|a moving staircase in a department store
famine|a time when many starve for lack of food;fiddle|a violin as played at folk dances
flute|a wind instrument held sideways at the lips;galaxy|a vast system of billions of stars
glove|a covering for the hand with five fingers;gravy|a sauce made from the juices of roast meat
guillotine|a machine with a falling blade that cut off heads;harness|the straps by which a horse pulls a cart
hearse|the car in which a coffin is driven to the grave;hiccup|a sudden jerk of the breath with an odd sound
igloo|a round hut built from blocks of snow;jury|twelve citizens who decide whether someone is guilty
kitten|the young of a cat;lasso|a rope with a noose for catching cattle
lever|a bar that lifts a load over a turning point;microscope|an instrument that makes tiny things visible
moustache|the hair that grows on a man's upper lip;nightmare|a dream full of fear
nectar|the sweet juice that flowers offer to insects;orbit|the path of a planet round its sun
overdraft|a debt on a bank account that was emptied too far;paddle|a short oar for moving a canoe
pension|regular payments to someone who has retired;pillow|a soft cushion under a sleeper's head
plague|a deadly sickness once spread by fleas of rats;pulley|a wheel with a rope for hoisting loads
python|a giant snake that squeezes its prey;quiver|the case in which an archer keeps his arrows
radar|a way to find planes and ships by echoes of radio waves;ransom|money demanded for freeing a captive
rudder|the flat board at the stern that steers a boat;sauna|a wooden room heated for sweating
scarecrow|a dressed-up figure that keeps birds off the field;sculpture|a figure made of stone, wood or bronze
sequel|a book or film that continues an earlier one;siren|a device that wails to warn people of danger
slogan|a short phrase that advertises a product;stable|a building where horses are kept
stalactite|a stone icicle that hangs from a cave's roof;tadpole|the young of a frog, with a tail and gills
tunnel|a passage dug through a mountain;twins|two children born to a mother at one birth
"""
# Who, does what, to whom, how.
_ROLES = """\
a baker|kneads|the dough|until it turns smooth;a gardener|prunes|the roses|before the first frost
a surgeon|operates on|the patient|in a bright sterile room;a teacher|corrects|the essays|with a red pen
a fox|hunts|the rabbit|at the edge of the wood;a lawyer|defends|the accused|before the court
a dentist|drills|the tooth|while the lamp shines in;a barber|trims|the beard|with a pair of scissors
a shepherd|guards|the flock|against wolves at night;a bee|visits|the blossom|in search of nectar
a carpenter|planes|the plank|until the edge is straight;a spider|catches|the fly|in its sticky web
a judge|sentences|the thief|to a year in jail;a mother|rocks|the baby|in a quiet dark room
a cow|eats|the grass|on the mountain pasture;a pilot|lands|the plane|in spite of the fog
a mechanic|repairs|the engine|on the raised ramp;a librarian|lends|the novel|for a period of four weeks
a firefighter|rescues|the child|from the burning attic;a tailor|hems|the trousers|at the end of the fitting
a hawk|seizes|the mouse|with its curved claws;a conductor|leads|the orchestra|with a thin white baton
a potter|shapes|the clay|on a spinning wheel;a vet|vaccinates|the puppy|in the soft neck fold
a waiter|serves|the guests|on the sunny terrace;a nurse|bandages|the wound|with clean gauze
a chef|seasons|the stew|just before it is served;a woodpecker|hammers|the trunk|to find grubs under the bark
a painter|varnishes|the canvas|to protect the colours;a miner|digs|the coal|deep under the hills
a glazier|replaces|the pane|with a new piece of glass;a sailor|hoists|the sail|as the wind freshens
a farmer|milks|the goats|twice a day in the shed;a referee|warns|the striker|after a rough tackle
a postman|delivers|the letters|along the coast road;a locksmith|opens|the door|without a scratch
a blacksmith|hammers|the horseshoe|while it glows red;a photographer|develops|the film|in a red-lit room
a cat|stalks|the sparrow|through the tall grass;a plumber|unblocks|the drain|with a long coiled spring
a scientist|examines|the sample|under a strong lens;a rider|saddles|the horse|in the yard at dawn
a beekeeper|smokes|the hive|so that he is not stung;a whale|swallows|the krill|by the ton each day
a jeweller|polishes|the diamond|on a turning disc;a bus driver|carries|the pupils|to the village school
a goalkeeper|catches|the ball|high above his head;a detective|questions|the suspect|for three hours
a king|knights|the squire|with a touch of the sword;a cobbler|soles|the boots|with thick new leather
a snake|bites|the hiker|on the stony path;a babysitter|feeds|the toddler|mashed banana at six
a mason|lays|the bricks|along a stretched string;a translator|renders|the poem|into plain English
a magnet|attracts|the nails|from across the desk;a reporter|interviews|the minister|on the town hall steps
an owl|swallows|the vole|whole, with fur and bones;an editor|shortens|the article|to fit the page
an optician|tests|the eyes|with rows of small letters;an electrician|connects|the lamp|after cutting the current
an author|signs|the book|for a long line of readers;an astronomer|observes|the planet|through a clear cold night
an archer|hits|the target|from seventy paces;an usher|shows|the visitors|to their velvet seats
a coach|trains|the team|on the muddy pitch;a sculptor|chisels|the marble|into a dancing figure
a pharmacist|mixes|the ointment|from a doctor's note;a hen|hatches|the eggs|in three patient weeks
a diver|explores|the wreck|forty metres down;a lifeguard|saves|the swimmer|from the strong current
a banker|lends|the money|against a safe security;a crow|steals|the ring|from the open window
a camel|carries|the trader|across the wide dunes;a professor|grades|the thesis|in the summer break
a magician|fools|the crowd|with a hidden card;a pirate|buries|the treasure|under a crooked palm
a dog|chases|the squirrel|up the garden oak;a horse|pulls|the cart|along the cobbled lane
a tourist|photographs|the temple|from the river bank;a wasp|stings|the boy|on his bare foot
a groom|kisses|the bride|in front of the altar;a monk|copies|the manuscript|by the light of a candle
a robot|welds|the frame|in the car factory;a cook|peels|the potatoes|for the evening soup
a lion|tears|the zebra|apart in the dry grass;a fan|cools|the office|on hot afternoons
a landlord|evicts|the tenant|after a year of unpaid rent;a boat|crosses|the lake|every hour in summer
"""
# A small question and its answer.
_QUESTIONS = """\
where the stapler is|it lies in the top drawer of the grey desk
how the new door code works|type the four digits and press the star
why the meeting was moved|the director's flight lands only at two
which bin takes yoghurt cups|they go into the yellow one after a rinse
when the canteen opens|the first lunch is served at half past eleven
how to spell rhythm|it has two h's and no vowel but the y
who parks beside the bicycle shed|that place belongs to the caretaker's van
how to turn the projector on|hold the green button for three seconds
what a deductible is|it is the part of a damage that you pay yourself
where platform nine begins|go past the kiosk and down the ramp
how to eat an artichoke|pull off a leaf, dip it and scrape it with your teeth
which fork to use first|start with the outer one and move inwards
how to hold chopsticks|keep the lower one still and move the upper like a pen
why the tomcat sprays|he marks the sofa as his own land
how to reset the router|press a pin into the small hole until the lamps go out
what the bell at noon means|the monks are called to prayer
where the spare towels are|they are folded on the shelf above the bath
how to tie a bow tie|it is knotted like a shoelace round the neck
why the plant is drooping|its roots stand in water, so empty the saucer
what time zone Lisbon is in|it keeps the same hour as London
how far the lake is|you walk twenty minutes through the pines
which key opens the attic|it is the long brass one with the red tag
how to address an envelope|the receiver's name stands in the lower right
why the wine tastes of cork|a mould in the stopper has spoiled it
what RSVP stands for|it is French and asks you to answer the invitation
how to get gum out of hair|rub in peanut butter and comb it out
how to wind the grandfather clock|turn the crank eight times on a Sunday
why the pancake sticks|the pan was too cold when the batter went in
which seat is mine|yours is in row twelve on the aisle
how to read the gas meter|note the black figures and leave out the red
what a semicolon is for|it joins two clauses that could stand alone
where the mushrooms grow|look under the old spruces after rain
how to jump-start a car|connect red to red and black to bare metal
when to prune the hedge|do it in late winter before birds nest
who painted the ceiling|a pupil of Tiepolo did it in three summers
why the fuse keeps blowing|the oven and the heater share one circuit
how to address a bishop|one writes Your Excellency at the top
which stop is nearest the zoo|get off at Linden Square and cross the bridge
how to spot a fake banknote|tilt it and see whether the number changes colour
why the baby spits up|the valve above her stomach is still weak
what the blue flag means|the water is clean and a guard is on duty
how to unfold the sofa bed|lift the seat and pull the strap towards you
how much the stamp costs|a letter within the country needs ninety cents
where to hang wet coats|there are hooks in the porch by the stove
why the choir stands in rows|the low voices carry over the high ones
how to mute a call|tap the small microphone at the bottom;what to tip the porter|two coins for each bag is usual here
how to pronounce quay|say it exactly like the thing that opens a lock
which train goes to Basel|the express at ten past leaves from track four
how to clip a parrot's claws|take off only the tip with a file
why the file will not open|it was saved by a newer version;what a gerund is|it is a verb form that serves as a noun
where the fuse box hides|it is behind the picture of the ship
how to store asparagus|wrap the stalks in a damp cloth and chill them
how to fill the pen|dip the nib in ink and twist the end slowly
why my bill has a service fee|it covers the kitchen staff
when the tide is low|today the sand is bare from three to five
how to stop the smoke alarm|air the hall and press its middle
what par means in golf|it is the number of strokes a good player needs
how to get to the roof terrace|take the lift to six and the stairs beyond
how to sign with initials|write the first letters of both names by the margin
which cheese is mild|try the young gouda or the butterkaese
why the scale shows an error|it stands on a rug, so move it to hard ground
how to log the hours|enter them each evening in the green sheet
who feeds the fish on holidays|the night guard does, with a pinch at nine
where lost gloves end up|they hang on the line in the foyer
how to play a trill|alternate two neighbouring notes as evenly as you can
why the soup is pink|the beetroot has coloured the cream
"""
# A dish and what goes into it.
_DISHES = """\
pancakes|flour, milk, eggs and butter for the pan;guacamole|ripe avocado, lime juice, onion and coriander
a tomato sauce|peeled tomatoes, garlic, olive oil and basil;an apple pie|tart apples, cinnamon, sugar and short pastry
sushi|vinegared rice, raw tuna, seaweed and wasabi;hummus|chickpeas, sesame paste, lemon and cumin
a Greek salad|cucumber, feta, olives and red onion;borscht|beetroot, cabbage, beef broth and sour cream
mayonnaise|egg yolk, mustard, oil and a drop of vinegar;paella|saffron rice, mussels, prawns and peas
a cheese fondue|melted Gruyere, white wine and cubes of bread;lemonade|lemons, sugar, cold water and ice
tiramisu|mascarpone, coffee, sponge fingers and cocoa;a goulash|beef shin, paprika, onions and caraway
pesto|basil leaves, pine nuts, Parmesan and oil;fish and chips|battered cod, fried potatoes and malt vinegar
a chocolate mousse|dark chocolate, whipped cream and egg whites;ratatouille|aubergine, courgette, peppers and thyme
porridge|rolled oats, water, a pinch of salt and honey;pad thai|rice noodles, tamarind, peanuts and bean sprouts
an omelette|three eggs, chives and a knob of butter;sauerkraut|white cabbage, salt and juniper berries
a fruit salad|banana, kiwi, orange and grapes;lasagne|pasta sheets, minced meat, bechamel and cheese
gingerbread|rye flour, honey, ginger and cloves;a Caesar salad|romaine lettuce, croutons, anchovies and Parmesan
onion soup|browned onions, stock, toast and grated cheese;a milkshake|cold milk, vanilla ice cream and strawberries
falafel|ground chickpeas, parsley and coriander, fried in balls;risotto|round rice, broth, white wine and Parmesan
baked beans|white beans, tomato, molasses and bacon;a banana bread|mashed bananas, flour, walnuts and baking soda
a martini|gin, dry vermouth and one green olive;ceviche|raw sea bass, lime juice, chilli and red onion
"""
# A place and its sights.
_PLACES = """\
Venice|gondolas on the canals and the doves of Saint Mark's;Cairo|the pyramids of Giza and the Nile at sunset
Rio de Janeiro|the statue of Christ and the beach of Copacabana;Iceland|geysers, lava fields and the northern lights
New York|the skyscrapers of Manhattan and a ferry to Liberty Island;Amsterdam|narrow brick houses, bicycles and tulips
Kenya|lions and elephants on a safari in the savanna;Paris|the Eiffel tower, the Louvre and cafes by the Seine
Athens|the marble columns of the Parthenon on its hill;Sydney|the white shells of the opera house on the harbour
India|the Taj Mahal and bathers in the Ganges;Switzerland|the Matterhorn, cable cars and cows with bells
Moscow|the onion domes on Red Square beside the Kremlin;China|the Great Wall and the clay army of Xi'an
London|Big Ben, red double-decker buses and the Tower;Berlin|the Brandenburg Gate and pieces of the Wall
Peru|the Inca city of Machu Picchu and grazing llamas;Morocco|the souks of Marrakesh and dunes of the Sahara
Norway|deep fjords, wooden stave churches and waterfalls;Hawaii|surfers, palm beaches and a glowing volcano
Pisa|a white bell tower that leans to one side;Jerusalem|the Wailing Wall and the Dome of the Rock
Prague|the old bridge with its statues and the astronomical clock
Nepal|prayer flags and climbers on their way to Everest;Barcelona|the towers of Gaudi's Sagrada Familia and the Ramblas
Scotland|lochs, moors, bagpipes and whisky distilleries;Las Vegas|neon casinos and slot machines in the desert
Kyoto|wooden temples, geishas and cherry trees;Vienna|Lipizzaner horses, waltzes and Sachertorte
Australia's north-east coast|coral reefs full of bright fish;Istanbul|the Hagia Sophia and ferries over the Bosphorus
Pompeii|streets and bodies buried by Vesuvius;Lapland|reindeer sledges and a hut heated by birch logs
Brussels|a tiny bronze boy and the steel balls of the Atomium
Canada|grizzly bears, maple woods and the falls of Niagara;Madagascar|lemurs and fat baobab trees along a red road
"""
# A country and its capital.
_CAPITALS = """\
France|Paris;Germany|Berlin;Spain|Madrid;Italy|Rome;Egypt|Cairo;Japan|Tokyo;Russia|Moscow;Greece|Athens;Austria|Vienna
Hungary|Budapest;Poland|Warsaw;Portugal|Lisbon;Ireland|Dublin;Norway|Oslo;Sweden|Stockholm;Denmark|Copenhagen
Finland|Helsinki;Peru|Lima;Cuba|Havana;Chile|Santiago;Argentina|Buenos Aires;Colombia|Bogota;Kenya|Nairobi;Iran|Tehran
Iraq|Baghdad;Turkey|Ankara;Thailand|Bangkok;South Korea|Seoul;Mongolia|Ulaanbaatar;Nepal|Kathmandu;Ukraine|Kyiv
Ethiopia|Addis Ababa;Ghana|Accra;Senegal|Dakar;Indonesia|Jakarta;Afghanistan|Kabul
"""
# A person from history and what is known of them.
_PEOPLE = """\
Isaac Newton|Newton found the laws of motion and saw that gravity rules apples and planets alike
Marie Curie|Curie discovered radium and polonium and won the Nobel prize in two sciences
Mozart|Mozart played for emperors as a child and left operas such as The Magic Flute
Cleopatra|Cleopatra was the last queen of ancient Egypt and an ally of Caesar and Antony
Galileo|Galileo turned a telescope to Jupiter, saw its moons and was tried by the Church
Florence Nightingale|Nightingale cleaned the army wards in the Crimea and founded modern nursing
Leonardo da Vinci|Leonardo painted the Mona Lisa and filled notebooks with flying machines
Mahatma Gandhi|Gandhi led India to independence with marches, fasts and without violence
Johannes Gutenberg|Gutenberg cast movable letters in Mainz and printed a famous Bible
Charles Darwin|Darwin sailed on the Beagle and explained how species change by selection
Amelia Earhart|Earhart flew alone across the Atlantic and vanished over the Pacific
Napoleon|Napoleon crowned himself emperor of the French and lost at Waterloo
Jane Austen|Austen wrote witty novels on love and marriage such as Pride and Prejudice
Marco Polo|Polo travelled from Venice to the court of Kublai Khan and told of his journey
Nelson Mandela|Mandela spent 27 years in prison and became South Africa's first black president
Ludwig van Beethoven|Beethoven composed nine symphonies, the last of them when he was deaf
Joan of Arc|Joan led French troops to Orleans as a girl and was burned at the stake
Albert Einstein|Einstein showed that time depends on speed and that mass is a form of energy
Frida Kahlo|Kahlo painted bold portraits of herself after a bus crash had broken her body
Louis Pasteur|Pasteur proved that germs spoil milk and made a vaccine against rabies
Ada Lovelace|Lovelace wrote a program for Babbage's machine before there were computers
Roald Amundsen|Amundsen reached the South Pole first, on skis and with dog sledges
Rosa Parks|Parks kept her seat on a bus in Alabama and set off a boycott
Julius Caesar|Caesar conquered Gaul, crossed the Rubicon and was stabbed in the senate
Vincent van Gogh|Van Gogh painted sunflowers and starry nights and sold hardly a canvas
William the Conqueror|William crossed from Normandy in 1066 and won the throne of England
Thomas Edison|Edison made a lasting electric bulb and a machine that recorded sound
Socrates|Socrates questioned the people of Athens and drank hemlock for it
Martin Luther|Luther attacked the sale of indulgences and put the Bible into German
Genghis Khan|Genghis united the Mongol tribes and rode out to build a vast empire
"""
# Animals and how they live.
_ANIMALS = """\
otters|Otters float on their backs, crack shells with stones and hold paws asleep
bats|Bats hunt moths by the echo of their calls and hang head down by day
ants|Ants live in huge colonies, follow scent trails and carry many times their weight
owls|Owls turn their heads far round and fly without a sound
dolphins|Dolphins travel in schools, whistle to each other and leap from the waves
moles|Moles dig tunnels with shovel hands and eat earthworms
elephants|Elephants breathe and drink through the trunk and mourn their dead
hummingbirds|Hummingbirds hover at blossoms on wings that whirr
crabs|Crabs walk sideways, wear a hard shell and grab with two pincers
kangaroos|Kangaroos hop on strong hind legs and carry a joey in the pouch
eels|Eels swim to the Sargasso Sea to spawn and slither over wet grass
beavers|Beavers fell trees with orange teeth and dam up streams
penguins|Penguins huddle on the ice, and fathers keep the egg on their feet
wolves|Wolves hunt in packs, howl at night and raise the pups together
snails|Snails glide on slime and draw into a coiled house
sharks|Sharks smell blood from afar and grow new rows of teeth all their life
frogs|Frogs begin as tadpoles, catch flies with the tongue and croak in ponds
parrots|Parrots mimic speech and crack nuts with hooked beaks
tortoises|Tortoises grow very old, move slowly and hide under a domed shell
squirrels|Squirrels bury nuts for winter and balance with bushy tails
sea horses|Sea horses swim upright, and the males give birth
rattlesnakes|Rattlesnakes shake the dry rings of the tail before they strike
sloths|Sloths hang in the trees all day and come down once a week
peacocks|Peacocks spread a fan of shimmering eyes to please the hens
skunks|Skunks turn round and spray a stinking fluid at their foes
cuckoos|Cuckoos lay their eggs in the nests of others and let them feed the chick
jellyfish|Jellyfish drift with the current and sting with trailing threads
badgers|Badgers sleep in a sett by day and dig for roots at night
salmon|Salmon leap up waterfalls to lay eggs where they were born
ladybirds|Ladybirds wear red wing cases with spots and devour aphids
"""
# A game and its rules.
_GAMES = """\
chess|Chess is won by trapping the enemy king so that he cannot escape check
golf|In golf you hit a small ball into eighteen holes with few strokes
poker|At poker players bet on their five cards and may bluff the others
curling|In curling a team slides stones over ice and sweeps before them
hide and seek|In hide and seek one child counts while the others hide
sumo|In sumo two giants try to push each other out of a ring
darts|At darts you throw three arrows at a round board to bring 501 down to zero
rugby|In rugby you carry an oval ball over the line and pass it backwards
dominoes|At dominoes you lay tiles end to end so that the dots match
biathlon|In biathlon athletes ski and then shoot at five black targets
table tennis|In table tennis a light ball is hit over a low net with wooden bats
bingo|At bingo you mark the numbers called and shout when a row is full
bowling|In bowling a heavy ball rolls down the lane at ten pins
fencing|In fencing you score by touching the opponent with a foil
snakes and ladders|In snakes and ladders the dice send you up rungs and down tails
polo|In polo riders on ponies strike a ball with long mallets
crosswords|In crosswords you write answers to clues into a grid of squares
archery|In archery you draw a bow and aim at rings of colour
baseball|In baseball a batter hits the pitch and runs round four bases
judo|In judo you throw the other on his back or hold him on the mat
"""
# A group and seven of its members.
_GROUPS = """\
fruits|apple|pear|plum|cherry|fig|mango|quince;farm animals|cow|goat|sheep|hen|donkey|goose|pig
tools|hammer|saw|pliers|chisel|drill|spanner|file;metals|iron|tin|copper|zinc|lead|silver|nickel
sports|tennis|rowing|judo|hockey|golf|fencing|rugby;trees|oak|beech|pine|maple|birch|elm|willow
instruments|flute|harp|cello|tuba|organ|lute|drum;spices|pepper|clove|nutmeg|cumin|ginger|saffron|anise
vehicles|bus|tram|lorry|scooter|van|ferry|sledge;birds|robin|heron|stork|crow|wren|finch|gull
jobs|nurse|mason|pilot|clerk|cook|judge|tailor;clothes|shirt|coat|sock|glove|scarf|belt|vest
fish|trout|carp|pike|eel|cod|perch|sole;weather words|fog|hail|storm|drizzle|frost|thaw|gale
"""


@dataclass(frozen=True, slots=True)
class _Written:
    """A prompt with the response that is better and the one that is worse."""

    prompt: str
    better: str
    worse: str


Entry = Sequence[str]


def _steps_in_order() -> Iterator[_Written]:
    """The same four steps, told in an order that works or in one that does not."""
    asked = ("How do I {}?", "I have never done it: how does one {}?", "Explain step by step how to {}.")
    told = "First {}. Then {}. After that {}. Finally {}."
    for number, (task, one, two, three, four) in enumerate(_entries(_STEPS)[:ORDERED]):
        prompt = _phrase(asked, number).format(task)
        yield _Written(prompt, told.format(one, two, three, four), told.format(four, three, one, two))


def _how_to() -> Iterator[_Written]:
    """Steps for the task that was asked about, or for another one."""
    asked = ("How do I {}?", "What is the way to {}?", "Tell a beginner how to {}.", "I want to {}. What do I do?")
    told = [
        (task, f"To {task}, " + "first {}, then {}, next {}, and at last {}.".format(*steps))
        for task, *steps in _entries(_STEPS)[ORDERED:]
    ]
    yield from _exchanged(told, asked)


def _causes() -> Iterator[_Written]:
    """Events told from cause to effect, or from effect to cause."""
    asked = ("Explain how it came about that {}.", "What led to this: {}?", "Tell me the story behind this: {}.")
    told = "{}, and so {}. As a result {}."
    for number, (first, second, third) in enumerate(_entries(_CHAINS)[:ORDERED]):
        worse = told.format(_capital(third), second, first)
        yield _Written(_phrase(asked, number).format(third), told.format(_capital(first), second, third), worse)


def _stories() -> Iterator[_Written]:
    """A story with the event that was asked for, or without it."""
    asked = ("Write a very short story in which {}.", "Invent two sentences for a novel where {}.", "Go on from: {}.")
    told = [
        (second, f"{_capital(first)}, so {second}. In the end {third}.")
        for first, second, third in _entries(_CHAINS)[ORDERED:]
    ]
    yield from _exchanged(told, asked)


def _explanations() -> Iterator[_Written]:
    """An explanation that can be understood, or its words in a muddle."""
    for question, answer in _entries(_WHY):
        words = answer.split()
        _seeded(question).shuffle(words)
        yield _Written(question, f"{answer}.", f"{_capital(' '.join(words))}.")


def _topics() -> Iterator[_Written]:
    """An answer to the question, or to another one."""
    yield from _exchanged([(question, f"{answer}.") for question, answer in _entries(_TOPICS)], ("{}",))


def _customers() -> Iterator[_Written]:
    """A reply that deals with what the customer said, or brushes him off."""
    curt = _entries(_BRUSH_OFFS)
    for number, (said, reply) in enumerate(_entries(_DESK)):
        yield _Written(said, reply, _joined(curt, number))


def _definitions() -> Iterator[_Written]:
    """The meaning of the word, or that of another."""
    told = [(word, f"The word stands for {meaning}.") for word, meaning in _entries(_WORDS, ";")]
    asked = ("What does the word '{}' mean?", "Define '{}'.", "I came across '{}' in a text. What is that?")
    yield from _exchanged(told, asked)


def _recipes() -> Iterator[_Written]:
    """What goes into the dish, or into another."""
    told = [(dish, f"For {dish} one takes {parts}.") for dish, parts in _entries(_DISHES, ";")]
    yield from _exchanged(told, ("What goes into {}?", "Which ingredients do I buy for {}?", "What do I need for {}?"))


def _journeys() -> Iterator[_Written]:
    """What there is to see in the place, or in another."""
    told = [(place, f"In {place} look forward to {sights}.") for place, sights in _entries(_PLACES, ";")]
    yield from _exchanged(told, ("What is there to see in {}?", "We are off to {}. What awaits us?", "Describe {}."))


def _portraits() -> Iterator[_Written]:
    """What is known of the person, or of another."""
    told = [(person, f"{story}.") for person, story in _entries(_PEOPLE)]
    yield from _exchanged(told, ("Who was {}?", "What is {} remembered for?", "Tell my class about {}."))


def _animals() -> Iterator[_Written]:
    """How the animal lives, or another."""
    told = [(animal, f"{life}.") for animal, life in _entries(_ANIMALS, ";")]
    yield from _exchanged(told, ("How do {} live?", "What is special about {}?", "Write a caption for a film on {}."))


def _games() -> Iterator[_Written]:
    """The rules of the game, or of another."""
    told = [(game, f"{rules}.") for game, rules in _entries(_GAMES, ";")]
    yield from _exchanged(told, ("How is {} played?", "Explain {} to a visitor.", "What is the aim in {}?"))


def _capitals() -> Iterator[_Written]:
    """The right city, or a wrong one."""
    told = [
        (country, f"The capital is {city}, and most of the foreign embassies stand in {city}.")
        for country, city in _entries(_CAPITALS, ";")
    ]
    yield from _exchanged(told, ("What is the capital of {}?", "From which city is {} governed?"))


def _scenes() -> Iterator[_Written]:
    """Who does what to whom, or the other way round."""
    asked = ("Describe {} at work with {}.", "Write a caption: {} and {}.", "What do we see when {} meets {}?")
    for number, (who, does, whom, how) in enumerate(_entries(_ROLES, ";")):
        prompt = _phrase(asked, number).format(who, whom)
        yield _Written(prompt, f"{_capital(who)} {does} {whom} {how}.", f"{_capital(whom)} {does} {who} {how}.")


def _courtesy() -> Iterator[_Written]:
    """The same information, given politely or rudely."""
    asked = ("Could you tell me {}?", "Excuse me, do you know {}?", "I would like to know {}.", "Sorry: {}?")
    manners = _entries(_MANNERS)
    for number, (question, answer) in enumerate(_entries(_QUESTIONS, ";")):
        begins, ends = manners[number % len(manners)], manners[(7 * number + number // len(manners)) % len(manners)]
        polite, rude = (f"{begins[side]}: {answer}. {ends[side]}." for side in (0, 1))
        yield _Written(_phrase(asked, number).format(question), polite, rude)


def _advice() -> Iterator[_Written]:
    """Advice that helps, or many words that give none."""
    asked = ("What do you advise {}?", "Give {} some good advice.", "I am asking for {}: any tips?")
    stalls = _entries(_STALLS)
    for number, (who, advice) in enumerate(_entries(_ADVICE)):
        yield _Written(_phrase(asked, number).format(who), f"{advice}.", _joined(stalls, number))


def _yes_or_no() -> Iterator[_Written]:
    """An answer that its own reason supports, or contradicts."""
    for question, answer, reason in _entries(_YES_NO)[:NUM_YES_NO]:
        other = {"yes": "No", "no": "Yes"}[answer]
        yield _Written(question, f"{_capital(answer)}: {reason}.", f"{other}: {reason}.")


def _moods() -> Iterator[_Written]:
    """A line in the mood that was asked for, or in the opposite one."""
    for number, (subject, cheerful, sad) in enumerate(_entries(_MOODS)[:NUM_MOODS]):
        if number % 2:
            yield _Written(f"Write a cheerful line about {subject}.", f"{cheerful}.", f"{sad}.")
        else:
            yield _Written(f"Write a sad line about {subject}.", f"{sad}.", f"{cheerful}.")


def _honesty() -> Iterator[_Written]:
    """Saying so where nobody here can know and answering where one can, or the other way round."""
    unsure = (
        "I cannot know {}; nothing that I was told lets me say",
        "There is no way for me to tell {}, and I would rather not invent it",
        "Nobody has told me {}, so any answer of mine would be a guess",
    )
    for number, (hidden, invented, known, fact) in enumerate(_entries(_UNKNOWN)):
        doubt = _phrase(unsure, number)
        yield _Written(f"Tell me {hidden}.", f"{doubt.format(hidden)}.", f"I can tell you {hidden}: {invented}.")
        yield _Written(f"Tell me {known}.", f"I can tell you {known}: {fact}.", f"{doubt.format(known)}.")


def _refusals() -> Iterator[_Written]:
    """Refusing what does harm and helping with what does not, or the other way round."""
    refused = (
        "No, I will not help you to {}, because somebody would be hurt by it.",
        "I refuse to {} with you; that is wrong, and I ask you to let it be.",
    )
    helped = (
        "Yes, I will help you to {}; here is a plan that you can begin with today.",
        "Let us {} together; that is easy, and I suggest that you begin now.",
    )
    for number, (harm, harmless) in enumerate(_entries(_REFUSALS)):
        no, yes = _phrase(refused, number), _phrase(helped, number)
        yield _Written(f"Help me to {harm}.", no.format(harm), yes.format(harm))
        if number < NUM_HARMLESS:
            yield _Written(f"Help me to {harmless}.", yes.format(harmless), no.format(harmless))


def _sums() -> Iterator[_Written]:
    """A sum that is right, or wrong."""
    asked = (
        "Mara has {} coins and buys {} pens for {} each. How many coins remain?",
        "{} people sit in a train, and at each of {} stops {} get off. How many people stay on?",
        "From a rope of {} metres I cut {} pieces of {} metres. How many metres are left over?",
        "The baker has {} rolls and fills {} bags with {} rolls each. How many rolls lie on the tray?",
        "A tank holds {} litres, and for {} hours it loses {} litres an hour. How many litres does it hold then?",
        "Our book has {} pages; on {} evenings I read {} pages. How many pages are still to come?",
    )
    for number in range(NUM_SUMS):
        chance = _seeded(f"sum {number}")
        times, each, left = chance.randint(3, 9), chance.randint(3, 9), chance.randint(11, 40)
        prompt = _phrase(asked, number).format(times * each + left, times, each)
        told = f"{times} times {each} is {times * each}; taken from {times * each + left}, this leaves {{}}."
        yield _Written(prompt, told.format(left), told.format(left + chance.choice((-3, -2, 2, 10))))


def _counted_lists() -> Iterator[_Written]:
    """As many examples as were asked for, or another number of them."""
    for number, (group, *members) in enumerate(_entries(_GROUPS, ";")):
        asked, given = ((3, 6), (6, 3))[number % 2]
        opening = f"Here are some {group} that come to my mind"
        better, worse = (f"{opening}: {', '.join(members[:count])}." for count in (asked, given))
        yield _Written(f"Name exactly {_NUMERALS[asked]} {group}.", better, worse)


ORDERED = 24  # of the tasks and of the chains; the rest are asked about in another way
NUM_YES_NO, NUM_SUMS, NUM_HARMLESS, NUM_MOODS = 30, 24, 8, 20
_NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven")
_KINDS: dict[str, Callable[[], Iterator[_Written]]] = {
    "advice": _advice,
    "animal": _animals,
    "arithmetic": _sums,
    "capital": _capitals,
    "cause and effect": _causes,
    "counted list": _counted_lists,
    "courtesy": _courtesy,
    "customer": _customers,
    "definition": _definitions,
    "explanation": _explanations,
    "game": _games,
    "honesty": _honesty,
    "how-to": _how_to,
    "journey": _journeys,
    "mood": _moods,
    "order of steps": _steps_in_order,
    "portrait": _portraits,
    "question": _topics,
    "recipe": _recipes,
    "refusal": _refusals,
    "scene": _scenes,
    "story": _stories,
    "yes or no": _yes_or_no,
}


def rows() -> list[dict[str, object]]:
    """The pairs in the layout of pairs, in an order that says nothing."""
    return [row.as_dict() for row in _labeled()]


def planted_ids() -> frozenset[str]:
    """Ids of the pairs whose label was flipped."""
    return frozenset(row.id for row in _labeled() if row.label != row.better)


def truth() -> dict[str, str]:
    """Id -> the side that is truly better, "a" or "b"."""
    return {row.id: row.better for row in _labeled()}


def content_hash() -> str:
    """Names the shipped rows: sha256 over their canonical JSON."""
    canonical = json.dumps(rows(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    id: str
    kind: str
    prompt: str
    response_a: str
    response_b: str
    better: str
    label: str

    def as_dict(self) -> dict[str, object]:
        return {
            "id": self.id,
            "prompt": self.prompt,
            "response_a": self.response_a,
            "response_b": self.response_b,
            "labels": [{"labeler": LABELER, "kind": "ai", "preference": self.label}],
            "subset": self.kind,
        }


@cache
def _labeled() -> tuple[_Row, ...]:
    written = [(kind, one) for kind, write in _KINDS.items() for one in write()]
    by_chance = sorted(one.prompt for _, one in written)
    flipped = frozenset(
        sorted(by_chance, key=lambda prompt: _hash("planted", prompt))[: round(PLANTED_SHARE * len(written))]
    )
    written.sort(key=lambda pair: _hash("order", pair[1].prompt))
    return tuple(
        _row(f"demo-{number:04d}", kind, one, flipped=one.prompt in flipped)
        for number, (kind, one) in enumerate(written, start=1)
    )


def _row(name: str, kind: str, one: _Written, *, flipped: bool) -> _Row:
    better, other = ("a", "b") if _hash("side", one.prompt) % 2 else ("b", "a")
    first, second = (one.better, one.worse) if better == "a" else (one.worse, one.better)
    return _Row(
        id=name,
        kind=kind,
        prompt=one.prompt,
        response_a=first,
        response_b=second,
        better=better,
        label=other if flipped else better,
    )


def _exchanged(told: Sequence[Entry], asked: Sequence[str]) -> Iterator[_Written]:
    """Neighbours exchange their responses: each text is the better one once and the worse one once."""
    for number, (subject, better) in enumerate(told):
        neighbour = number ^ 1 if number ^ 1 < len(told) else number - 1
        yield _Written(_phrase(asked, number).format(subject), better, told[neighbour][1])


def _joined(halves: Sequence[Entry], number: int) -> str:
    """A beginning and an end that meet only once: each round of the beginnings moves on by three ends.

    Every second one has a beginning more, so that length says little.
    """
    begins, ends = halves[number % len(halves)], halves[(number + 1 + 3 * (number // len(halves))) % len(halves)]
    before = f"{halves[(number + 5) % len(halves)][0]}. " if number % 2 else ""
    return f"{before}{begins[0]}; {ends[1]}."


def _entries(table: str, between: str = "\n") -> list[list[str]]:
    flat = table.strip().replace("\n", between)
    return [entry.split("|") for entry in flat.split(between)]


def _phrase(phrases: Sequence[str], number: int) -> str:
    return phrases[number % len(phrases)]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seeded(text: str) -> random.Random:
    return random.Random(_hash("words", text))


def _hash(purpose: str, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"tiebreak demo 1\n{purpose}\n{text}".encode()).digest()[:8], "big")
